package laptop

import (
	"errors"
	"net"
	"os"
	"testing"

	"reown/internal/judge"
	"reown/internal/secret"
	"reown/tpm"
	"reown/tpm/tpmtest"
	"reown/wizard"
)

// onTheBus is a TPM with somebody on its bus, who changes the replies to the command that is named.
func onTheBus(t *testing.T, version tpmtest.Version) (*tpm.TPM, *string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "bus") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	sim, err := tpmtest.StartVersion(dir, version)
	if errors.Is(err, tpmtest.ErrNoSwtpm) && os.Getenv("REOWN_REQUIRE_PEERS") != "1" {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sim.Stop() })
	bad := new(string)
	p, err := tpm.New(func() (tpm.Device, error) {
		c, err := net.Dial("unix", sim.Socket)
		return somebody{c, func(cmd, reply []byte) {
			if len(reply) > 10 && tpm.CommandName(cmd) == *bad {
				reply[len(reply)-1] ^= 1
			}
		}}, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return p, bad
}

// TestRootIsAsked: the TPM holds a storage root only if it answers in a session that needs it, and the
// file that /boot's signature covers names it. A reply that somebody changes on the bus is no answer.
func TestRootIsAsked(t *testing.T) {
	ctx := t.Context()
	for name, version := range map[string]tpmtest.Version{"2.0": tpmtest.V20, "1.2": tpmtest.V12} {
		p, bad := onTheBus(t, version)
		v12 := version == tpmtest.V12
		a := &tpmAdapter{t: p, alg: tpm.ECC}
		owner := secret.From([]byte("owner"))
		defer owner.Wipe()
		var names, files [2]string
		for i := range names {
			if err := a.Reset(ctx, owner); err != nil {
				t.Fatal(err)
			}
			info, err := a.Info(ctx)
			file, ferr := a.PrimaryHash(ctx)
			if names[i], files[i] = info.PrimaryName, string(file); errors.Join(err, ferr) != nil || names[i] == "" && !v12 {
				t.Fatalf("%s: %+v, %v", name, info, errors.Join(err, ferr))
			}
		}
		has := func(what, root string, want bool) {
			t.Helper()
			if ok, err := a.HasRoot(ctx, root); ok != want || err != nil {
				t.Errorf("%s, %s: %v, %v", name, what, ok, err)
			}
		}
		has("the root that is there", names[1], true)
		if !v12 || names[0] != "" {
			has("the root before", names[0], false)
		}
		if v12 {
			if got, err := a.RootOf(ctx, nil); got != "" || err == nil {
				t.Errorf("1.2 has a file: %q, %v", got, err)
			}
			continue
		}
		for i, want := range [2]string{"", names[1]} {
			if got, err := a.RootOf(ctx, []byte(files[i])); got != want || err != nil {
				t.Errorf("root of file %d: %q, %v", i, got, err)
			}
		}
		for _, *bad = range []string{"TPM2_ReadPublic", "TPM2_StartAuthSession"} {
			if ok, err := a.HasRoot(ctx, names[1]); ok || err == nil {
				t.Errorf("%s is changed on the bus: %v, %v", *bad, ok, err)
			}
		}
		*bad = ""
		if err := p.Clear(ctx); err != nil {
			t.Fatal(err)
		}
		if ok, err := a.HasRoot(ctx, names[1]); ok {
			t.Errorf("cleared: %v, %v", ok, err)
		}
		if got, err := a.RootOf(ctx, []byte(files[1])); got != "" || err != nil {
			t.Errorf("cleared: root of a file: %q, %v", got, err)
		}
	}
}

// TestCounts: a kexec_rollback.txt is this TPM's as long as nobody has moved or replaced the counter, in
// a session to the root that is asked for; and the area of a TPM with another root is none.
func TestCounts(t *testing.T) {
	ctx := t.Context()
	owner := secret.From([]byte("owner"))
	defer owner.Wipe()
	for name, version := range map[string]tpmtest.Version{"2.0": tpmtest.V20, "1.2": tpmtest.V12} {
		p, bad := onTheBus(t, version)
		a := &tpmAdapter{t: p, alg: tpm.ECC}
		counts := func(what, root string, file []byte, want judge.Comparison, fails bool) {
			t.Helper()
			if got, err := a.Counts(ctx, root, file); got != want || (err != nil) != fails {
				t.Errorf("%s, %s: %v, %v", name, what, got, err)
			}
		}
		if err := a.Reset(ctx, owner); err != nil {
			t.Fatal(err)
		}
		info, err := a.Info(ctx)
		file, ferr := a.Counter(ctx, owner)
		if errors.Join(err, ferr) != nil {
			t.Fatal(errors.Join(err, ferr))
		}
		root, id := info.PrimaryName, tpm.RollbackCounter(file)
		counts("as it is", root, file, judge.ComparisonEqual, false)
		counts("by the root that it shows", "", file, judge.ComparisonEqual, false)
		counts("of another form", root, []byte("evil"), judge.ComparisonNotProvided, false)
		for _, other := range []string{"7", "ffffffff", "ffffffffff"} {
			counts("a counter that is not there", root, []byte(string(file[:64])+"  /tmp/counter-"+other+"\n"),
				judge.ComparisonDiffers, false)
		}
		if version == tpmtest.V20 {
			counts("another root", "000b"+string(file[:64]), file, judge.ComparisonDiffers, false)
			if err := a.OpenAnchor(ctx, owner, [32]byte{1}); err != nil {
				t.Fatal(err)
			}
			for r, want := range map[string]wizard.AnchorState{root: wizard.AnchorOpen, "": wizard.AnchorOpen, "000b" +
				string(file[:64]): wizard.AnchorAbsent} {
				if got, err := a.Anchor(ctx, r); err != nil || got.State != want {
					t.Errorf("the area by root %q: %v, %v", r, got.State, err)
				}
			}
			*bad = "TPM2_NV_Read"
			counts("changed on the bus", root, file, judge.ComparisonUnknown, true)
			*bad = ""
		}
		if _, err := p.IncrementCounter(ctx, id); err != nil {
			t.Fatal(err)
		}
		counts("moved since", root, file, judge.ComparisonDiffers, false)
		if err := p.Clear(ctx); err != nil {
			t.Fatal(err)
		}
		counts("cleared", root, file, judge.ComparisonDiffers, false)
		counts("cleared, by the root that it shows", "", file, judge.ComparisonDiffers, false)
	}
}
