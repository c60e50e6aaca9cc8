package vm

import (
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestTokenPulled pulls the security key out while it makes its keys, and plugs it
// in again: the run says so, and the next one goes on.
func TestTokenPulled(t *testing.T) {
	if os.Getenv("REOWN_SOAK") == "" {
		t.Skip("a whole run more: set REOWN_SOAK=1")
	}
	l, fw := newLaptop(t)
	prepare(t, l)
	ctx := deadline(t, 15*time.Minute)
	m := boot(t, ctx, l, Options{Firmware: fw, Script: unattended + "until [ -e /tmp/again ]; do sleep 1; done\n" + unattended})
	var generations atomic.Int64
	m.Card.Log(func(cmd, _ []byte) {
		// GENERATE ASYMMETRIC KEY PAIR, and not only reading the public key.
		if len(cmd) > 2 && cmd[1] == 0x47 && cmd[2] == 0x80 && generations.Add(1) == 2 {
			go m.Token.Unplug()
		}
	})
	if err := m.WaitConsole(ctx, "LAB-EXIT"); err != nil {
		t.Fatal(err)
	}
	if out := m.Console(); !strings.Contains(out, "LAB-EXIT 5") || !strings.Contains(out, "security key") {
		t.Fatalf("the key was pulled out, and it says\n%s", out)
	}
	t.Logf("pulled out:\n%s", tail(m.Console()))
	remember(t, l)
	m.Token.Plug()
	if _, err := m.Sh(ctx, "sleep 2; touch /tmp/again"); err != nil {
		t.Fatal(err)
	}
	ended := func() bool { return strings.Count(m.Console(), "LAB-EXIT") > 1 }
	for waiting := true; waiting; {
		select {
		case <-m.Off():
			waiting = false
		case <-time.After(time.Second):
			waiting = !ended() && ctx.Err() == nil
		}
	}
	if ended() || ctx.Err() != nil {
		t.Fatalf("it did not go on:\n%s", tail(m.Console()))
	}
	m.Cut()
	mustBeBuyers(t, ctx, l, remember(t, l))
}
