package vm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"reown/internal/lab"
)

// controlSocket is where a laptop that is on takes orders from other programs.
const controlSocket = "vm/control"

// Serve takes orders at a socket in the laptop's directory until ctx ends. An order
// is one line; the answer is text, and the connection is closed.
func (m *Machine) Serve(ctx context.Context) error {
	name := filepath.Join(m.laptop.Dir, controlSocket)
	_ = os.Remove(name)
	l, err := net.Listen("unix", name)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { l.Close() })
	for {
		c, err := l.Accept()
		if err != nil {
			return nil
		}
		go func() {
			defer c.Close()
			line, err := bufio.NewReader(c).ReadString('\n')
			if err != nil {
				return
			}
			out, err := m.order(ctx, strings.TrimSuffix(line, "\n"))
			if err != nil {
				out = "lab: " + err.Error()
			}
			fmt.Fprintln(c, out)
		}()
	}
}

func (m *Machine) order(ctx context.Context, line string) (string, error) {
	verb, arg, _ := strings.Cut(line, " ")
	switch verb {
	case "type":
		return "", m.QMP.Type(arg)
	case "keys":
		return "", m.QMP.Keys(strings.Fields(arg)...)
	case "screen":
		if arg == "" {
			return m.Screen(ctx)
		}
		return "", m.QMP.Screenshot(arg)
	case "plug":
		m.Token.Plug()
		return "", nil
	case "unplug":
		m.Token.Unplug()
		return "", nil
	case "sh":
		return m.Sh(ctx, arg)
	case "cut":
		m.kill()
		return "", nil
	}
	return "", errors.New("orders: type TEXT, keys NAME..., screen [FILE.png], plug, unplug, sh COMMAND, cut")
}

// Order gives an order to a laptop that another program has switched on.
func Order(l *lab.Laptop, order string) (string, error) {
	c, err := net.Dial("unix", filepath.Join(l.Dir, controlSocket))
	if err != nil {
		return "", fmt.Errorf("the laptop is off: %w", err)
	}
	defer c.Close()
	if _, err := fmt.Fprintln(c, order); err != nil {
		return "", err
	}
	var b strings.Builder
	_, err = bufio.NewReader(c).WriteTo(&b)
	return strings.TrimSuffix(b.String(), "\n"), err
}
