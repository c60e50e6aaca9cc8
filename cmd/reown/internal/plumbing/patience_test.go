package plumbing

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reown/cmd/reown/internal/cli"
)

// A touch is asked for at once and again while it is waited for; a card that works for long
// is told of less and less often; the next command begins anew.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := &patience{e: &cli.Env{Stderr: &out}}
		lines := func(every, for_ time.Duration, touch bool) []string {
			out.Reset()
			for end := time.Now().Add(for_); time.Now().Before(end); time.Sleep(every) {
				p.wait(touch)
			}
			return strings.Split(strings.TrimSpace(out.String()), "\n")
		}
		for _, every := range []time.Duration{100 * time.Millisecond, 5 * time.Second} {
			if got := lines(every, 18*time.Second, true); len(got) != 4 || got[0] != "reown: touch the security key now" ||
				!strings.HasSuffix(got[3], "still waiting") {
				t.Errorf("touch, a sign every %v: %q", every, got)
			}
			time.Sleep(time.Minute)
			if got := lines(every, 10*time.Minute, false); len(got) < 4 || len(got) > 7 ||
				!strings.Contains(got[0], "still at work, for 1") {
				t.Errorf("a sign every %v: %q", every, got)
			}
			time.Sleep(time.Minute)
			if got := lines(every, 9*time.Second, false); got[0] != "" {
				t.Errorf("not long: %q", got)
			}
			time.Sleep(time.Minute)
		}
	})
}
