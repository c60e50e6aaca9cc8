package vm

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// answer is the guest's answer to a request; labd has the other end.
type answer struct {
	ID   int
	Code int
	Out  string
}

func (m *Machine) readAgent() {
	sc := bufio.NewScanner(m.agent)
	sc.Buffer(nil, 64<<20)
	for sc.Scan() {
		var a answer
		if json.Unmarshal(sc.Bytes(), &a) != nil {
			continue
		}
		if a.ID == 0 {
			close(m.ready)
			continue
		}
		m.mu.Lock()
		c := m.waiting[a.ID]
		delete(m.waiting, a.ID)
		m.mu.Unlock()
		if c != nil {
			c <- a
		}
	}
}

// Ready waits until the guest's init answers.
func (m *Machine) Ready(ctx context.Context) error {
	select {
	case <-m.ready:
		return nil
	case <-m.off:
		return errGone
	case <-ctx.Done():
		return fmt.Errorf("waiting for the guest: %w\n%s", ctx.Err(), tail(m.log.text()))
	}
}

func tail(s string) string {
	const n = 4000
	if len(s) > n {
		s = s[len(s)-n:]
	}
	return s
}

func (m *Machine) ask(ctx context.Context, do, arg string) (answer, error) {
	if err := m.Ready(ctx); err != nil {
		return answer{}, err
	}
	c := make(chan answer, 1)
	m.mu.Lock()
	m.nextID++
	id := m.nextID
	m.waiting[id] = c
	m.mu.Unlock()
	js, err := json.Marshal(map[string]any{"ID": id, "Do": do, "Arg": arg})
	if err != nil {
		return answer{}, err
	}
	if _, err := m.agent.Write(append(js, '\n')); err != nil {
		return answer{}, errGone
	}
	select {
	case a := <-c:
		return a, nil
	case <-m.off:
		return answer{}, errGone
	case <-ctx.Done():
		return answer{}, fmt.Errorf("%q in the guest: %w", arg, ctx.Err())
	}
}

// An ExitError is a command that failed in the guest.
type ExitError struct {
	Command string
	Code    int
	Output  string
}

func (e *ExitError) Error() string {
	return fmt.Sprintf("%q in the guest: exit status %d: %s", e.Command, e.Code, strings.TrimSpace(e.Output))
}

// Sh runs a shell command in the guest, beside whatever its script does, and
// returns what it wrote.
func (m *Machine) Sh(ctx context.Context, command string) (string, error) {
	a, err := m.ask(ctx, "sh", command)
	if err == nil && a.Code != 0 {
		err = &ExitError{command, a.Code, a.Out}
	}
	return a.Out, err
}
