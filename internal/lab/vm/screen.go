package vm

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Screen returns the text on the guest's console.
func (m *Machine) Screen(ctx context.Context) (string, error) {
	if m.display == Serial {
		return m.term.text(), nil
	}
	a, err := m.ask(ctx, "screen", "")
	if err == nil && a.Code != 0 {
		err = &ExitError{"screen", a.Code, a.Out}
	}
	return a.Out, err
}

// Type types text at the guest's console.
func (m *Machine) Type(text string) error {
	if m.display == Serial {
		return m.WriteConsole([]byte(text))
	}
	return m.QMP.Type(text)
}

// serialKeys are keys as a Linux terminal sends them, by QEMU's names.
var serialKeys = map[string]string{"ret": "\r", "tab": "\t", "esc": "\x1b", "backspace": "\x7f", "spc": " ",
	"ctrl-c": "\x03",
	"up":     "\x1b[A", "down": "\x1b[B", "right": "\x1b[C", "left": "\x1b[D", "f1": "\x1b[[A", "f2": "\x1b[[B",
	"f3": "\x1b[[C", "f4": "\x1b[[D",
	"f5": "\x1b[[E", "f6": "\x1b[17~", "f7": "\x1b[18~", "f8": "\x1b[19~", "f9": "\x1b[20~", "f10": "\x1b[21~"}

// Key presses a key at the guest's console, by QEMU's name.
func (m *Machine) Key(name string) error {
	if m.display != Serial {
		return m.QMP.Keys(name)
	}
	s, ok := serialKeys[name]
	if !ok {
		return fmt.Errorf("no key %q on the serial line", name)
	}
	return m.WriteConsole([]byte(s))
}

// Resize tells the guest the size of the terminal at its serial console, which the line
// cannot.
func (m *Machine) Resize(ctx context.Context, width, height int) error {
	m.term.resize(width, height)
	_, err := m.Sh(ctx, fmt.Sprintf("stty -F /dev/ttyS0 rows %d cols %d", height, width))
	return err
}

// WaitScreen waits until the guest's screen shows a text, and returns the screen.
func (m *Machine) WaitScreen(ctx context.Context, text string) (string, error) {
	for {
		s, err := m.Screen(ctx)
		if err != nil || strings.Contains(s, text) {
			return s, err
		}
		select {
		case <-ctx.Done():
			return s, fmt.Errorf("the screen never showed %q: %w; it shows\n%s", text, ctx.Err(), s)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Console returns what the guest has written to its serial console.
func (m *Machine) Console() string { return m.log.text() }

// WriteConsole types at the serial console.
func (m *Machine) WriteConsole(p []byte) error {
	_, err := m.console.Write(p)
	return err
}

// WaitConsole waits until the serial console has shown a text.
func (m *Machine) WaitConsole(ctx context.Context, text string) error {
	for !strings.Contains(m.log.text(), text) {
		select {
		case <-m.off:
			if strings.Contains(m.log.text(), text) {
				return nil
			}
			return fmt.Errorf("waiting for %q: %w:\n%s", text, errGone, tail(m.log.text()))
		case <-ctx.Done():
			return fmt.Errorf("the console never showed %q: %w:\n%s", text, ctx.Err(), tail(m.log.text()))
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}
