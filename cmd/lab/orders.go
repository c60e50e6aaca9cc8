package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"reown/internal/lab"
	"reown/internal/lab/vm"
)

// orderVerb makes a verb of an order to a laptop that is on.
func orderVerb(verb string) func(context.Context, []string) error {
	return withLaptop(func(_ context.Context, l *lab.Laptop, words []string) error {
		if verb == "shell" && len(words) == 0 {
			return shell(l)
		}
		if verb == "screen" && len(words) == 1 {
			file, err := filepath.Abs(words[0])
			if err != nil {
				return err
			}
			words[0] = file
		}
		out, err := vm.Order(l, verb, strings.Join(words, " "))
		say(out)
		var exit *vm.ExitError
		if errors.As(err, &exit) {
			os.Exit(max(1, exit.Code))
		}
		return err
	})
}

func say(out string) {
	if out != "" {
		fmt.Println(strings.TrimSuffix(out, "\n"))
	}
}

// shell runs the lines of its input inside, each in a shell of its own.
func shell(l *lab.Laptop) error {
	if _, err := vm.Order(l, "shell", "true"); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "A shell in the laptop, beside the wizard; each line on its own. Ctrl-D ends.")
	for sc := bufio.NewScanner(os.Stdin); ; {
		fmt.Fprint(os.Stderr, "# ")
		if !sc.Scan() {
			return sc.Err()
		}
		out, err := vm.Order(l, "shell", sc.Text())
		say(out)
		var exit *vm.ExitError
		if err != nil && !errors.As(err, &exit) {
			return err
		}
	}
}

// keyboard is the one reader of the standard input: what is typed goes to somebody who
// wants it then.
type keyboard struct {
	once sync.Once
	mu   sync.Mutex
	f    func([]byte)
	eof  chan struct{}
}

var keys = &keyboard{eof: make(chan struct{})}

// to sends what is typed to f from now on; nil: nowhere.
func (k *keyboard) to(f func([]byte)) {
	k.mu.Lock()
	k.f = f
	k.mu.Unlock()
	k.once.Do(func() {
		go func() {
			buf := make([]byte, 256)
			for {
				n, err := os.Stdin.Read(buf)
				k.mu.Lock()
				if k.f != nil && n > 0 {
					k.f(buf[:n])
				}
				k.mu.Unlock()
				if err != nil {
					close(k.eof)
					return
				}
			}
		}()
	})
}

// enter waits for Enter, and is false when none will come.
func (k *keyboard) enter(ctx context.Context) bool {
	got := make(chan struct{}, 1)
	k.to(func(p []byte) {
		if strings.ContainsAny(string(p), "\r\n") {
			select {
			case got <- struct{}{}:
			default:
			}
		}
	})
	defer k.to(nil)
	select {
	case <-got:
		return true
	case <-k.eof:
	case <-ctx.Done():
	}
	return false
}
