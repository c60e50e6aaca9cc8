package vm

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"reown/internal/lab"
)

// A cut is a moment at which the power goes. wait returns when it has come.
type cut struct {
	what string
	arm  func(ctx context.Context, m *Machine) (wait func())
}

// atConsole is a moment after the wizard has said something.
func atConsole(mark string, after time.Duration) cut {
	return cut{fmt.Sprintf("%q and %v", mark, after), func(ctx context.Context, m *Machine) func() {
		return func() { _ = m.WaitConsole(ctx, mark); time.Sleep(after) }
	}}
}

// atCommand is when the card has done its n-th command after the wizard began to work
// on it.
func atCommand(n int64) cut {
	return cut{fmt.Sprintf("card command %d of the work", n), func(ctx context.Context, m *Machine) func() {
		var count atomic.Int64
		m.Card.Log(func(_, _ []byte) {
			if strings.Contains(m.Console(), "Security key: In progress") && count.Add(1) == n {
				m.kill()
			}
		})
		return func() {
			select {
			case <-m.Off():
			case <-ctx.Done():
			}
		}
	}}
}

// atWrite is about when the disk has got n writes after the wizard's step began.
func atWrite(mark string, n int64) cut {
	return cut{fmt.Sprintf("%q and %d disk writes", mark, n), func(ctx context.Context, m *Machine) func() {
		return func() {
			if m.WaitConsole(ctx, mark) != nil {
				return
			}
			start, _, err := m.QMP.Written()
			for err == nil {
				var now int64
				if now, _, err = m.QMP.Written(); now >= start+n {
					return
				}
				select {
				case <-m.Off():
					return
				case <-time.After(5 * time.Millisecond):
				}
			}
		}
	}}
}

// lastWord is the last line that the wizard printed.
func lastWord(console string) string {
	lines := strings.Split(strings.TrimSpace(console), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// runWithCuts re-owns one laptop, cutting the power at each moment in turn, and lets
// foreign tools judge it in the end.
func runWithCuts(t *testing.T, ctx context.Context, cuts []cut) {
	l, fw := newLaptop(t)
	prepare(t, l)
	table := ""
	for i := 0; ; i++ {
		if i > len(cuts)+2 {
			t.Fatalf("no end:\n%s", table)
		}
		m := boot(t, ctx, l, Options{Firmware: fw, Script: unattended})
		if i >= len(cuts) {
			if err := m.Wait(ctx); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(m.Console(), "LAB-EXIT") {
				t.Fatalf("the last start did not finish:\n%s\n%s", table, m.Console())
			}
			break
		}
		wait := cuts[i].arm(ctx, m)
		done := make(chan struct{})
		go func() { wait(); close(done) }()
		select {
		case <-done:
		case <-m.Off():
		}
		m.Cut()
		table += fmt.Sprintf("  cut at %-45s while: %s\n", cuts[i].what, lastWord(m.Console()))
		if strings.Contains(m.Console(), "LAB-EXIT") {
			t.Errorf("it ended by itself:\n%s", m.Console())
		}
		remember(t, l)
		tryPaper(t, ctx, l)
		if strings.Contains(m.Console(), "page done") {
			break
		}
	}
	t.Logf("\n%s", table)
	mustBeBuyers(t, ctx, l, remember(t, l))
}

// tryPaper gives the next start the passphrase that opens the disk now, as an owner
// does who tries the one on the paper when the seller's is refused.
func tryPaper(t *testing.T, ctx context.Context, l *lab.Laptop) {
	t.Helper()
	known := readJSON(t, paper(l))
	offset, size := l.Window()
	v, err := lab.CopyVolume(l.Disk(), offset, size, l.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(v.Path)
	if ok, err := v.Opens(ctx, known["secret.disk"]); ok && err == nil && known["secret.disk"] != "" {
		known["secret.current"] = known["secret.disk"]
		writeJSON(t, paper(l), known)
	}
}

// TestPowerCuts kills the whole machine in the middle of its work: processor, kernel,
// page cache, TPM and token at once, and starts it again. Each cut costs a start of the
// machine; TestReownedInVM plays its cuts from a record.
func TestPowerCuts(t *testing.T) {
	if os.Getenv("REOWN_SOAK") != "1" {
		t.Skip("four starts of the machine; TestReownedLaptop is killed, too: REOWN_SOAK=1")
	}
	ctx := deadline(t, 40*time.Minute)
	runWithCuts(t, ctx, []cut{atCommand(12), atWrite("Disk: In progress", 60),
		atConsole("Firmware chip: In progress", 300*time.Millisecond)})
}

// TestManyPowerCuts does it at random moments, in every step of ten runs. Each cut is
// a start of the machine; the 300 of TestReownedInVM cost none.
func TestManyPowerCuts(t *testing.T) {
	if os.Getenv("REOWN_SOAK") != "1" {
		t.Skip("takes hours: set REOWN_SOAK=1")
	}
	ctx := deadline(t, 10*time.Hour)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	steps := []string{"Security key", "Disk", "TPM", "Phone code", "Start files", "Firmware chip", "Finish"}
	for range 10 {
		var cuts []cut
		for _, s := range steps {
			mark := s + ": In progress"
			switch rnd.IntN(3) {
			case 0:
				cuts = append(cuts, atWrite(mark, rnd.Int64N(400)))
			case 1:
				cuts = append(cuts, atConsole(mark, time.Duration(rnd.IntN(4000))*time.Millisecond))
			default:
				cuts = append(cuts, atCommand(1+rnd.Int64N(60)))
			}
		}
		runWithCuts(t, ctx, cuts)
	}
}
