package hotpkey

// Heads' own program, hotp_verification, uses the emulated keys through the Linux
// kernel: it judges the emulation, and what it stores works with our code and the other
// way round. No distribution packages it, so the test is skipped where it is not in
// PATH.

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"reown/gpgcard/cardtest/usbdev/guest"
	"reown/internal/usb"
)

const peer = "hotp_verification"

func TestMain(m *testing.M) {
	guest.Main(runPeer)
	os.Exit(m.Run())
}

// peerScript is what the guest runs, with the exit codes that hotp_verification's
// return_codes.h promises: 0 done, 2 wrong PIN, 3 other, 4 wrong code, 6 empty slot.
// Secret and codes are RFC 4226's.
var peerScript = map[string][]struct {
	args string
	want int
}{
	"pro": {
		{"info", 0},
		{"check 755224", 6},
		{"set GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ 87654321", 2},
		{"set GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ 12345678 0", 0},
		{"check 287082", 0},
		{"check 755224", 4},
	},
	"nk3": {
		{"info", 0},
		{"check 755224", 3},
		{"set GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ sesame-77 0", 0},
		{"check 287082", 0},
		{"check 755224", 4},
	},
}

func commands(name string) (all []string) {
	for _, c := range peerScript[name] {
		all = append(all, c.args)
	}
	return all
}

func TestHOTPVerification(t *testing.T) {
	path, err := exec.LookPath(peer)
	if err != nil {
		t.Skip("no hotp_verification")
	}
	for name, script := range peerScript {
		t.Run(name, func(t *testing.T) {
			f := families[name]()
			if name == "nk3" {
				f.pin()
			}
			lines := f.record()
			var got strings.Builder
			guest.Boot(t, f.dev, []string{path}, func(line string, reply func(string)) {
				got.WriteString(line + "\n")
				if line == "SCRIPT" {
					reply(fmt.Sprintf("%s %s", name, path))
				}
			})
			for i, c := range script {
				if want := fmt.Sprintf("RESULT %d %s = %d\n", i, c.args, c.want); !strings.Contains(got.String(), want) {
					t.Errorf("missing: %s", want)
				}
			}
			if f.dev.Hung() {
				t.Error("the key hangs")
			}
			if *update {
				writeTranscript(t, "hotp_verification-"+name, "made by hotp_verification 1.7: "+strings.Join(commands(name), "; "),
					*lines)
			}
			// What it stored works with our code.
			f.dev.Unplug()
			if f.pro != nil {
				f.pro.Restart()
			}
			f.dev.Plug()
			k := f.open(t)
			if next, err := Verify(ctx(t), k, buffer(rfcSecret), 2); err != nil || next != 3 {
				t.Fatalf("next %d, %v", next, err)
			}
			k.Close()
			// And what we store works with it: the guest says so below.
			if key, counter, set := f.stored(); string(key) != rfcSecret || counter != 3 || !set {
				t.Fatalf("the key holds %q at %d (%v)", key, counter, set)
			}
		})
	}
	t.Run("ours", func(t *testing.T) {
		if os.Getenv("REOWN_SOAK") != "1" {
			t.Skip("two more boots: only with REOWN_SOAK=1")
		}
		for _, name := range []string{"pro", "nk3"} {
			f := families[name]()
			pin := f.pin()
			k := f.open(t)
			if _, err := k.Seal(ctx(t), pin, buffer(rfcSecret), SetOptions{}); err != nil {
				t.Fatal(err)
			}
			k.Close()
			ok := false
			guest.Boot(t, f.dev, []string{path}, func(line string, reply func(string)) {
				if line == "SCRIPT" {
					reply(fmt.Sprintf("359152 %s", path)) // counter 2
				}
				ok = ok || line == "RESULT 0 check 359152 = 0"
			})
			if !ok {
				t.Errorf("%s: hotp_verification does not accept a code for the secret that we stored", name)
			}
		}
	})
}

// runPeer is the guest's part.
func runPeer() {
	for range 300 {
		if all, _ := List(usb.System()); len(all) > 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	fmt.Println("SCRIPT")
	var name, path string
	_, err := fmt.Scanln(&name, &path)
	guest.Must(err)
	script := peerScript[name]
	if script == nil {
		script = append(script, struct {
			args string
			want int
		}{"check " + name, 0})
	}
	for i, c := range script {
		cmd := exec.Command(path, strings.Fields(c.args)...)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			guest.Must(err)
		}
		fmt.Printf("%s\nRESULT %d %s = %d\n", out, i, c.args, cmd.ProcessState.ExitCode())
	}
}
