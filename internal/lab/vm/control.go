package vm

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"reown/gpgcard/cardtest"
	"reown/gpgcard/cardtest/usbdev"
	"reown/internal/hotpkey/hotptest"
	"reown/internal/lab"
)

// controlSocket is where a laptop that is on takes orders from other programs.
const controlSocket = "vm/control"

// An order is what another program asks of a laptop that is on; a line of JSON.
type order struct{ Verb, Arg string }

// obeyed is the answer to an order.
type obeyed struct {
	Out, Err string
	Code     int // exit status of a shell's command
}

// Serve takes orders at a socket in the laptop's directory until ctx ends.
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
			line, err := bufio.NewReader(c).ReadBytes('\n')
			var o order
			if err != nil || json.Unmarshal(line, &o) != nil {
				return
			}
			var a obeyed
			a.Out, err = m.order(ctx, o)
			var exit *ExitError
			if errors.As(err, &exit) {
				a.Code = exit.Code
			} else if err != nil {
				a.Err = err.Error()
			}
			js, _ := json.Marshal(a)
			_, _ = c.Write(append(js, '\n'))
		}()
	}
}

func (m *Machine) order(ctx context.Context, o order) (string, error) {
	switch o.Verb {
	case "type":
		return "", m.Type(o.Arg)
	case "keys":
		for _, k := range strings.Fields(o.Arg) {
			if err := m.Key(k); err != nil {
				return "", err
			}
		}
		return "", nil
	case "screen":
		if o.Arg != "" && m.display == Serial {
			return "", errors.New("the laptop's console is the terminal in which it was switched on; \"lab boot DIR --screen 1024x768\" gives it a screen")
		}
		if o.Arg == "" {
			return m.Screen(ctx)
		}
		return "", m.QMP.Screenshot(o.Arg)
	case "plug", "unplug":
		return "", m.plug(o.Arg, o.Verb == "plug")
	case "shell":
		return m.Sh(ctx, o.Arg)
	case "cut":
		m.kill()
		return "", nil
	}
	return "", fmt.Errorf("no such order: %q", o.Verb)
}

// plug plugs something in, or pulls it out.
func (m *Machine) plug(what string, in bool) error {
	switch {
	case what == "keyboard" && in:
		return m.PlugKeyboard()
	case what == "keyboard":
		return m.UnplugKeyboard()
	case what == "stranger":
		return m.stranger(in)
	case what != "" && what != "token":
		return errors.New("to be plugged: token, stranger, keyboard")
	case in:
		m.Token.Plug()
	default:
		m.Token.Unplug()
	}
	return nil
}

// stranger plugs in a second token, factory-fresh and of the same make.
func (m *Machine) stranger(in bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case in && m.second == nil:
		for _, p := range cardtest.Profiles {
			if p.Name == m.laptop.Profile {
				p.Serial ^= 0xff
				u := profileOf(p.Name)
				u.Serial = fmt.Sprintf("%08X", p.Serial)
				card := cardtest.New(p)
				card.AddApplet(hotptest.NewSecrets())
				m.second = usbdev.New(u, card, nil)
				return m.PlugSecond(m.second)
			}
		}
	case in:
		m.second.Plug()
	case m.second != nil:
		m.second.Unplug()
	}
	return nil
}

// Order gives an order to a laptop that another program has switched on, and returns
// what it has to say:
//
//	type TEXT        at the keyboard, a US one
//	keys NAME...     QEMU's names of keys: ret, tab, f10, ctrl-c
//	screen [FILE]    the text on the screen, or a picture of it in a PNG file
//	plug WHAT        "token", "stranger" (another token) or "keyboard"; and unplug
//	shell COMMAND    runs beside the wizard
//	cut              the power
func Order(l *lab.Laptop, verb, arg string) (string, error) {
	c, err := net.Dial("unix", filepath.Join(l.Dir, controlSocket))
	if err != nil {
		return "", errors.New("the laptop is off: switch it on with \"lab boot\"")
	}
	defer c.Close()
	js, err := json.Marshal(order{verb, arg})
	if err != nil {
		return "", err
	}
	if _, err := c.Write(append(js, '\n')); err != nil {
		return "", err
	}
	var a obeyed
	if err := json.NewDecoder(c).Decode(&a); err != nil {
		if verb == "cut" {
			return "", nil // it went before it could answer
		}
		return "", errGone
	}
	if a.Err != "" {
		return a.Out, errors.New(a.Err)
	}
	if a.Code != 0 {
		return a.Out, &ExitError{arg, a.Code, a.Out}
	}
	return a.Out, nil
}
