package person

import (
	"context"
	"fmt"
	"os/exec"
)

// Tmux is a terminal window of 80 columns and 25 lines.
type Tmux struct{ socket string }

// NewTmux opens a window in which a shell command runs; the socket's name must be the
// window's own. The error is exec.ErrNotFound where tmux is not installed.
func NewTmux(socket, command string) (*Tmux, error) {
	t := &Tmux{socket}
	_, err := t.run("new-session", "-d", "-x", "80", "-y", "25", command)
	return t, err
}

func (t *Tmux) run(args ...string) (string, error) {
	out, err := exec.Command("tmux", append([]string{"-L", t.socket, "-f", "/dev/null"}, args...)...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("tmux %s: %w: %s", args[0], err, out)
	}
	return string(out), err
}

// Close closes the window and ends what runs in it.
func (t *Tmux) Close() { _, _ = t.run("kill-server") }

// Screen implements Terminal.
func (t *Tmux) Screen(context.Context) (string, error) { return t.run("capture-pane", "-p") }

// History is the screen with all that has been scrolled away.
func (t *Tmux) History() (string, error) { return t.run("capture-pane", "-p", "-J", "-S", "-") }

// Type implements Terminal.
func (t *Tmux) Type(text string) error { _, err := t.run("send-keys", "-l", text); return err }

// Key implements Terminal. Names that QEMU does not know are tmux' own ("C-]").
func (t *Tmux) Key(name string) error {
	if n, ok := map[string]string{"ret": "Enter", "tab": "Tab", "esc": "Escape", "f6": "F6", "f10": "F10"}[name]; ok {
		name = n
	}
	_, err := t.run("send-keys", name)
	return err
}
