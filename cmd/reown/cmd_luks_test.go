package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"reown/cmd/reown/internal/cli"
	"reown/internal/lab/programs"
	"reown/luks"
	"reown/luks/lukstest"
)

// luksImage makes a small LUKS2 image, passphrase "first" in the file key.
func luksImage(t *testing.T, p *lukstest.Peer, name string, size int64) string {
	t.Helper()
	p.Write("key", []byte("first"))
	p.Write("second", []byte("second"))
	img := p.Write(name, nil)
	if err := os.WriteFile(img, lukstest.Random(16<<20+int(size), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	p.Run("luksFormat", "--batch-mode", "--type", "luks2", "--sector-size", "512", "--pbkdf", "pbkdf2",
		"--pbkdf-force-iterations", "1000", "--key-file", p.Path("key"), img)
	return img
}

// inProcess runs a command line in this process.
func inProcess(stdin string, args ...string) (int, string, string) {
	var out, errs bytes.Buffer
	code := run(context.Background(), &cli.Env{Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs}, args)
	return code, out.String(), errs.String()
}

func TestLuksCommands(t *testing.T) {
	p := lukstest.NewPeer(t)
	img, key, second := luksImage(t, p, "img", 1<<20), p.Path("key"), p.Path("second")
	info := func() (in luks.Info) {
		t.Helper()
		code, out, errs := inProcess("", "luks", "info", "--json", img)
		if err := json.Unmarshal([]byte(out), &in); code != exitDone || err != nil {
			t.Fatalf("info: %d, %v, %s", code, err, errs)
		}
		return in
	}
	before := info()
	for _, c := range []struct {
		name  string
		stdin string
		args  []string
		code  int
	}{
		{"text report", "", []string{"info", img}, exitDone},
		{"no key file", "", []string{"reencrypt", img}, exitUsage},
		{"no device", "", []string{"info"}, exitUsage},
		{"both from stdin", "x", []string{"passwd", img, "--key-file", "-", "--new-key-file", "-"}, exitUsage},
		{"wrong passphrase", "wrong", []string{"reencrypt", img, "--key-file", "-"}, exitFailed},
		{"last slot", "", []string{"kill", img, "--slot", "0", "--key-file", key}, exitRefused},
		{"nothing to rescue", "", []string{"rescue", img, "--key-file", key}, exitRefused},
		{"backup", "", []string{"backup", img, p.Path("backup")}, exitDone},
		{"backup over a file", "", []string{"backup", img, p.Path("backup")}, exitFailed},
		{"restore", "", []string{"restore", img, p.Path("backup")}, exitDone},
		{"to LUKS1", "", []string{"convert", img, "--to", "1"}, exitDone},
		{"to LUKS2", "", []string{"convert", img, "--to", "2"}, exitDone},
		{"passwd", "first", []string{"passwd", "--pbkdf2", img, "--key-file", "-", "--new-key-file", second}, exitDone},
		{"passwd again", "first", []string{"passwd", "--pbkdf2", img, "--key-file", "-", "--new-key-file", second}, exitDone},
		{"reencrypt noise", "second", []string{"reencrypt", "--pbkdf2", img, "--key-file", "-", "--new-key-file", key},
			exitRefused},
		{"reencrypt", "second", []string{"reencrypt", "--pbkdf2", img, "--key-file", "-", "--noise"}, exitDone},
		{"nothing to resume", "", []string{"resume", img, "--key-file", second}, exitDone},
		{"the old passphrase", "", []string{"resume", img, "--key-file", key}, exitFailed},
		{"backup of the old key", "", []string{"restore", img, p.Path("backup")}, exitRefused},
		{"change and reencrypt", "", []string{"reencrypt", img, "--key-file", second, "--new-key-file", key, "--sector-size",
			"4096", "--noise"}, exitDone},
	} {
		code, out, errs := inProcess(c.stdin, append([]string{"luks"}, c.args...)...)
		if code != c.code {
			t.Errorf("%s: exit code %d, not %d\n%s%s", c.name, code, c.code, out, errs)
		}
		if code == exitFailed && !strings.Contains(errs, "your data:") {
			t.Errorf("%s: the error says nothing of the data: %s", c.name, errs)
		}
	}
	after := info()
	if after.KeyDigest == before.KeyDigest || after.SectorSize != 4096 || len(after.Keyslots) != 1 {
		t.Errorf("afterwards: %+v", after)
	}
	p.Run("open", "--test-passphrase", "--key-file", key, img)
	for _, args := range [][]string{{}, {"--confirm", "yes"}} {
		if code, _, errs := inProcess("", append([]string{"luks", "erase", img}, args...)...); code != exitUsage {
			t.Errorf("erase %q: exit code %d: %s", args, code, errs)
		}
	}
	p.Run("open", "--test-passphrase", "--key-file", key, img) // nothing happened
	for range 2 {
		if code, _, errs := inProcess("", "luks", "erase", img, "--confirm", "disk"); code != exitDone {
			t.Errorf("erase: exit code %d: %s", code, errs)
		}
	}
	if _, err := p.Try("open", "--test-passphrase", "--key-file", key, img); err == nil || len(info().Keyslots) > 0 {
		t.Error("the disk still opens")
	}
}

// TestLittleAddressSpace: under a limit of 512 MiB (ulimit -v) the program says what it cannot afford, and does what
// it can; never a trace of the runtime.
func TestLittleAddressSpace(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the binary")
	}
	p := lukstest.NewPeer(t)
	lukstest.Need(t, "prlimit")
	bin, err := programs.Reown(t.Context(), p.Dir)
	if err != nil {
		t.Fatal(err)
	}
	img := luksImage(t, p, "img", 1<<20)
	limited := func(args ...string) (int, string) {
		t.Helper()
		out, err := exec.Command("prlimit", append([]string{"--as=536870912", bin, "luks"}, args...)...).CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if bytes.Contains(out, []byte("goroutine")) || bytes.Contains(out, []byte("runtime")) {
			t.Errorf("%q:\n%s", args, out)
		}
		if exit != nil {
			return exit.ExitCode(), string(out)
		}
		return 0, string(out)
	}
	cheap := p.Read("img")
	argon := func(kib string) {
		p.Run("luksConvertKey", "--batch-mode", "--pbkdf", "argon2id", "--pbkdf-memory", kib, "--pbkdf-force-iterations", "4",
			"--key-file", p.Path("key"), img)
	}
	argon("1048576")
	before := p.Read("img")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"info", img}, exitDone, "1024 MiB"},
		{[]string{"passwd", img, "--key-file", p.Path("key"), "--new-key-file", p.Path("second")}, exitFailed,
			"keyslot 0 needs 1024 MiB"},
		{[]string{"reencrypt", img, "--key-file", p.Path("key"), "--noise"}, exitFailed, "Nothing was written"},
	} {
		code, out := limited(c.args...)
		if code != c.code || !strings.Contains(out, c.says) || strings.Contains(out, "keyslot 0: keyslot 0") {
			t.Errorf("%q: exit code %d\n%s", c.args, code, out)
		}
	}
	if !bytes.Equal(before, p.Read("img")) {
		t.Error("something was written")
	}
	p.Write("img", cheap)
	argon("65536")
	if code, out := limited("reencrypt", "--pbkdf2", img, "--key-file", p.Path("key"), "--noise"); code != exitDone {
		t.Errorf("exit code %d\n%s", code, out)
	}
	p.Run("open", "--test-passphrase", "--key-file", p.Path("key"), img)
}

// The binary is killed again and again, told to stop again and again, on two disks
// at a time; in the end the data is there.
func TestLuksKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the binary")
	}
	p := lukstest.NewPeer(t)
	bin, err := programs.Reown(t.Context(), p.Dir)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(24 << 20)
	plain := lukstest.Random(int(size), 1)
	disks := []string{luksImage(t, p, "one", size), luksImage(t, p, "two", size)}
	digests := map[string]string{}
	for _, d := range disks {
		vk, err := p.VolumeKey(d, p.Path("key"))
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(d, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(lukstest.XTS(vk, plain, 512, true), 16<<20); err != nil {
			t.Fatal(err)
		}
		f.Close()
		digests[d] = luksDigest(t, d)
	}
	kills := 12
	if lukstest.Soak() {
		kills = 200
	}
	r := rand.New(rand.NewPCG(1, 2))
	stopped, killed := 0, 0
	args := append([]string{"luks", "reencrypt", "--inherit", "--noise", "--key-file", p.Path("key"), "--hotzone", "1"},
		disks...)
	for i := 0; i < kills; i++ {
		cmd := exec.Command(bin, args...)
		out, err := cmd.StderrPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		// Its first line says that the data is being worked on, however slow the machine is.
		_, _ = out.Read(make([]byte, 1))
		done := make(chan error, 1)
		go func() {
			_, _ = io.Copy(io.Discard, out)
			done <- cmd.Wait()
		}()
		select {
		case <-time.After(time.Duration(r.IntN(60)) * time.Millisecond):
			sig := []os.Signal{syscall.SIGTERM, syscall.SIGKILL}[i%2]
			_ = cmd.Process.Signal(sig)
			<-done
			switch code := cmd.ProcessState.ExitCode(); {
			case code == exitStopped:
				stopped++
			case code == -1:
				killed++
			case code != exitDone:
				t.Fatalf("exit code %d", code)
			}
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if out, err := exec.Command(bin, append([]string{"luks", "resume", "--key-file", p.Path("key")},
		disks...)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Logf("killed %d times, stopped %d times", killed, stopped)
	for _, d := range disks {
		p.Run("open", "--test-passphrase", "--key-file", p.Path("key"), d)
		vk, err := p.VolumeKey(d, p.Path("key"))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(d)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(lukstest.XTS(vk, b[16<<20:], 512, false), plain) {
			t.Errorf("%s: LOST: the data differs", d)
		}
		if luksDigest(t, d) == digests[d] {
			t.Errorf("%s: still under the old volume key", d)
		}
	}
}

func luksDigest(t *testing.T, path string) string {
	t.Helper()
	v, err := luks.Open(context.Background(), path, luks.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	return v.Info().KeyDigest
}

// What is refused is refused before anything is changed, and said so: the passphrase, too,
// is as it was. What had been written is said as well.
func TestLuksRefusesBeforeItChanges(t *testing.T) {
	p := lukstest.NewPeer(t)
	img, key, empty := p.Write("img", make([]byte, 4<<20)), p.Write("key", []byte("first")), p.Write("empty", nil)
	second := p.Write("second", []byte("second"))
	p.Run("luksFormat", "--batch-mode", "--type", "luks2", "--luks2-keyslots-size", "256k", "--offset", "4096", "--pbkdf",
		"pbkdf2",
		"--pbkdf-force-iterations", "1000", "--key-file", key, img)
	before := p.Read("img")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"reencrypt", img, "--key-file", key, "--new-key-file", second}, exitFailed, "no room"},
		{[]string{"passwd", img, "--key-file", key, "--new-key-file", empty}, exitRefused, "--allow-empty"},
		{[]string{"reencrypt", img, "--key-file", key, "--sector-size", "1000"}, exitFailed, "not supported"},
		{[]string{"open", img, "a/b", "--key-file", key}, exitUsage, "no name"},
	} {
		code, _, errs := inProcess("", append([]string{"luks"}, c.args...)...)
		if code != c.code || !strings.Contains(errs, c.want) || c.code != exitUsage && !strings.Contains(errs, untouched) {
			t.Errorf("%v: code %d: %s", c.args, code, errs)
		}
		if !bytes.Equal(before, p.Read("img")) {
			t.Fatalf("%v: the device was written to", c.args)
		}
	}
	if _, err := os.Stat("/dev/mapper/control"); err != nil {
		if code, _, errs := inProcess("", "luks", "open", img, "x", "--key-file", key); code != exitFailed ||
			!strings.Contains(errs, "device mapper") {
			t.Errorf("code %d: %s", code, errs)
		}
	}
	// The same error, with something written before it, says so.
	err := fmt.Errorf("x: %w", &luks.WroteError{Names: []string{luks.WriteKeyslot, luks.WritePrimary},
		Err: luks.ErrNoSpace})
	if d := explain(err).Data; strings.Contains(d, "Nothing was written") ||
		!strings.Contains(d, "header had been changed") {
		t.Error(d)
	}
}
