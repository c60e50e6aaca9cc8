package usbdev_test

// GnuPG's scdaemon with its own CCID driver and its own T=1 uses the emulated token
// through the Linux kernel, so that the emulation is judged by somebody else.

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"reown/gpgcard/cardtest"
	"reown/gpgcard/cardtest/usbdev"
	"reown/gpgcard/cardtest/usbdev/guest"
	"reown/internal/ccid"
	"reown/internal/usb"
)

const scdaemon = "/usr/lib/gnupg/scdaemon"

func TestMain(m *testing.M) {
	guest.Main(runScdaemon)
	os.Exit(m.Run())
}

func TestScdaemon(t *testing.T) {
	if _, err := os.Stat(scdaemon); err != nil {
		guest.Missing(t, "no scdaemon: "+err.Error())
	}
	for _, c := range []struct {
		token usbdev.Profile
		card  cardtest.Profile
		alg   string
	}{
		{usbdev.Pro, cardtest.ZeitControl, "rsa2048"},
		{usbdev.Gnuk, cardtest.Gnuk, "rsa2048"},
		{usbdev.NK3, cardtest.Nitrokey3, "p256"},
	} {
		t.Run(c.token.Name, func(t *testing.T) {
			if c.token.Name != "pro" && os.Getenv("REOWN_SOAK") != "1" {
				t.Skip("another boot: only with REOWN_SOAK=1")
			}
			card := cardtest.New(c.card)
			commands := 0
			card.Log(func([]byte, []byte) { commands++ })
			token := usbdev.New(c.token, card, nil)
			var got strings.Builder
			guest.Boot(t, token, []string{scdaemon}, func(line string, reply func(string)) {
				got.WriteString(line + "\n")
				if line == "SCRIPT" {
					reply("generate")
				}
			})
			for _, want := range []string{
				"S SERIALNO D2760001240103", "S CHV-STATUS", "S KEY-CREATED-AT", "S SIG-COUNTER 1", "S KEYPAIRINFO",
			} {
				if c.token.Name == "gnuk" {
					want = strings.Replace(want, "D2760001240103", "D2760001240102", 1)
				}
				if !strings.Contains(got.String(), want) {
					t.Errorf("scdaemon did not say %q", want)
				}
			}
			if strings.Count(got.String(), "ERR ") != 0 {
				t.Error("scdaemon reported errors")
			}
			t.Logf("%d APDUs", commands)
		})
	}
}

// runScdaemon is the guest's part.
func runScdaemon() {
	for range 300 {
		all, err := ccid.Find(usb.System())
		guest.Must(err)
		if len(all) > 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	fmt.Println("SCRIPT")
	var script string
	_, err := fmt.Scanln(&script)
	guest.Must(err)
	user, admin := cardtest.FactoryPW1, cardtest.FactoryPW3
	if script == "use" {
		user, admin = "654321", "87654321"
	}
	guest.Must(os.MkdirAll("/root/.gnupg", 0o700))
	cmd := exec.Command(scdaemon, "--server", "--homedir", "/root/.gnupg")
	in, err := cmd.StdinPipe()
	guest.Must(err)
	out, err := cmd.StdoutPipe()
	guest.Must(err)
	guest.Must(cmd.Start())
	sc := bufio.NewScanner(out)
	sc.Buffer(nil, 1<<20)
	// ask sends one command and answers its inquiries, until OK or ERR.
	ask := func(line string) {
		fmt.Println(">", line)
		fmt.Fprintln(in, line)
		for sc.Scan() {
			l := sc.Text()
			fmt.Printf("%.120s\n", l)
			switch {
			case strings.HasPrefix(l, "INQUIRE NEEDPIN"):
				pin := user
				if strings.Contains(l, "Admin") {
					pin = admin
				}
				fmt.Fprintf(in, "D %s%%00\nEND\n", pin)
			case strings.HasPrefix(l, "INQUIRE"):
				fmt.Fprintln(in, "END")
			case strings.HasPrefix(l, "OK"):
				return
			case strings.HasPrefix(l, "ERR"):
				return
			}
		}
		guest.Check(false, "scdaemon died at %s", line)
	}
	fmt.Fprintln(in, "NOP") // the greeting
	sc.Scan()
	sc.Scan()
	ask("SERIALNO openpgp")
	ask("LEARN --force")
	if script == "generate" {
		ask("GENKEY --force 1") // slow: waiting time extensions
	}
	ask("SETDATA " + hex.EncodeToString(make([]byte, 32)))
	ask("PKSIGN --hash=sha256 OPENPGP.1")
	ask("READKEY OPENPGP.1") // longer than a block
	ask("GETATTR SIG-COUNTER")
	ask("LEARN --force")
	fmt.Fprintln(in, "BYE")
}
