package wizard_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"reown/wizard"
	"reown/wizard/ui"
	"reown/wizard/wizardtest"
)

// owned is a laptop whose run is over.
func owned(t *testing.T) (*wizardtest.World, *paper) {
	t.Helper()
	w, p := wizardtest.New(), newPaper()
	if err := unattended(w, p, nil); err != nil {
		t.Fatal(err)
	}
	w.Reboot()
	return w, p
}

// unproven are the answers of one who goes on although not all is proven, and knows the seller.
func unproven(w *wizardtest.World) map[string]string {
	return map[string]string{"verify": "unproven", "unproven-serial": "NL0T", "signer": w.Seller.Signer}
}

// changed lists the writes other than those to our own notes.
func changed(w *wizardtest.World) (ops []string) {
	for _, o := range w.Ops {
		if !strings.HasPrefix(o, "hint.kexec_reown.starts") && !strings.HasPrefix(o, "append.") {
			ops = append(ops, o)
		}
	}
	return ops
}

func TestNothingToDoTouchesNothing(t *testing.T) {
	w, p := owned(t)
	if err := unattended(w, p, nil); !errors.Is(err, wizard.ErrNothingToDo) {
		t.Fatal(err)
	}
	if len(w.Ops) != 0 {
		t.Errorf("written: %v", w.Ops)
	}
}

func TestTheEvilMaid(t *testing.T) {
	for name, c := range map[string]struct {
		does func(*wizardtest.World)
		want error
	}{
		"touches oem": {func(*wizardtest.World) {}, wizard.ErrTampering},
		"changes the kernel": {func(w *wizardtest.World) {
			w.Files = "evil"
			delete(w.Hints,
				"kexec_reown.certificate.json")
		}, wizard.ErrTampering},
		"clears the TPM": {func(w *wizardtest.World) {
			w.Primary = "srk-evil"
			delete(w.Hints,
				"kexec_reown.certificate.json")
		}, wizard.ErrTampering},
		"brings another card": {func(w *wizardtest.World) {
			w.Fprs[0] = strings.Repeat("E", 40)
			delete(w.Hints, "kexec_reown.certificate.json")
		}, wizard.ErrTampering},
		"removes the certificate": {func(w *wizardtest.World) { delete(w.Hints, "kexec_reown.certificate.json") },
			wizard.ErrTampering},
		"takes the certificate for a receipt": {func(w *wizardtest.World) {
			w.Hints["kexec_reown.receipt"] = slices.Concat(w.Hints["kexec_reown.certificate.json"],
				w.Hints["kexec_reown.certificate.json.asc"])
			delete(w.Hints, "kexec_reown.certificate.json")
		}, wizard.ErrTampering},
		"signs a hand-over of her own": {func(w *wizardtest.World) { w.Seller.Signer = strings.Repeat("E", 40) },
			wizard.ErrTampering},
	} {
		t.Run(name, func(t *testing.T) {
			w, p := owned(t)
			w.Oem = true
			c.does(w)
			fprs := w.Fprs
			if err := unattended(w, p, nil); !errors.Is(err, c.want) {
				t.Fatalf("%v", err)
			}
			for _, op := range changed(w) {
				for _, bad := range []string{"card.terminate", "card.generate", "disk.", "tpm.", "flash.", "boot.stage",
					"boot.install"} {
					if strings.HasPrefix(op, bad) {
						t.Errorf("%s was done", op)
					}
				}
			}
			if w.Fprs != fprs || c.want != nil && !w.Oem {
				t.Error("something was changed")
			}
		})
	}
}

// A certificate and a receipt that verify, but not by the card in the reader, say
// nothing: every step is done.
func TestForgedNotesSkipNothing(t *testing.T) {
	w, p := wizardtest.New(), newPaper()
	cert, sign := w.Forge()
	doc := []byte(`{"type":"reown/receipt/v1","volumes":[],"srk":"srk-seller","bootFor":"srk-seller"}` + "\n")
	w.Hints["kexec_reown.asc"] = cert
	w.Hints["kexec_reown.receipt"] = append(doc, sign(doc)...)
	if err := unattended(w, p, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Owned(p.seen); err != nil {
		t.Fatal(err)
	}
}

// The seller's own key in place of the owner's does not count as the owner's.
func TestTheSellersCardIsNotTheOwners(t *testing.T) {
	w, p := wizardtest.New(), newPaper()
	w.Hints["kexec_reown.asc"] = w.ROM[0]
	if err := unattended(w, p, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Owned(p.seen); err != nil {
		t.Fatal(err)
	}
}

// Nobody is silenced: however often a start ended before anything was answered, and whatever an
// older version has counted in /boot, the first page stands.
func TestNothingSilencesTheWizard(t *testing.T) {
	w, p := wizardtest.New(), newPaper()
	w.Hints["kexec_reown.starts"] = []byte("9\n")
	for range 5 {
		if err := wizard.Run(context.Background(), w.Machine(), dead{}, wizard.Options{}); !errors.Is(err, errTired) {
			t.Fatal(err)
		}
	}
	if len(changed(w)) > 0 {
		t.Errorf("written: %q", changed(w))
	}
	if err := unattended(w, p, nil); err != nil {
		t.Fatalf("after that: %v", err)
	}
}

// dead is a front end that dies before anything is answered.
type dead struct{}

func (dead) Ask(context.Context, *ui.Page) (string, error) { return "", errTired }
func (dead) Watch(context.Context, string, func(context.Context, func(ui.Tasks)) error) error {
	return errTired
}

func TestRunStepRefusesTheWrongOrder(t *testing.T) {
	for _, name := range []string{"firmware", "commit", "boot", "seal", "disk"} {
		w := wizardtest.New()
		err := wizard.RunStep(t.Context(), w.Machine(), name, wizard.Choices{}, &wizard.Keys{}, nil)
		if err == nil {
			t.Errorf("%s was done on a machine that nothing was done to", name)
		}
		if c := changed(w); len(c) > 0 {
			t.Errorf("%s wrote %v", name, c)
		}
	}
	var unknown *wizard.UnknownStepError
	if err := wizard.RunStep(t.Context(), wizardtest.New().Machine(), "dance", wizard.Choices{}, &wizard.Keys{},
		nil); !errors.As(err, &unknown) {
		t.Error(err)
	}
}

// The JSON form of the status is a contract.
func TestStatusSchema(t *testing.T) {
	w := wizardtest.New()
	w.PowerState = wizard.Power{Known: true, Percent: 10}
	r, err := wizard.Status(t.Context(), w.Machine())
	if err != nil {
		t.Fatal(err)
	}
	if len(w.Ops) != 0 {
		t.Errorf("status wrote %v", w.Ops)
	}
	got, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	file := filepath.Join("testdata", "status.json")
	if os.Getenv("REOWN_UPDATE") == "1" {
		_ = os.MkdirAll("testdata", 0o755)
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the status is now\n%s", got)
	}
	doc, err := os.ReadFile("../docs/wizard.md")
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	_ = json.Unmarshal(got, &fields)
	for k := range fields {
		if !strings.Contains(string(doc), "`"+k+"`") {
			t.Errorf("docs/wizard.md does not explain the field %s", k)
		}
	}
}

// Phases, as the technician sees them.
func TestPhases(t *testing.T) {
	w, p := wizardtest.New(), newPaper()
	var r wizard.Report
	phase := func(want wizard.Phase, next, tpm, card string) {
		t.Helper()
		var err error
		r, err = wizard.Status(t.Context(), w.Machine())
		if err != nil || r.Phase != want || r.Next != next {
			t.Errorf("%s, next %q (%v), want %s, %q", r.Phase, r.Next, err, want, next)
		}
		if a := r.Anchors; a.TPM != tpm || a.Card != card {
			t.Errorf("%s: the anchors say %+v, want %s, %s", want, a, tpm, card)
		}
	}
	phase(wizard.HandedOver, "card", "absent", "no receipt")
	w.Fault = func(op string) error {
		if op == "disk.chunk" {
			return wizardtest.ErrCut
		}
		return nil
	}
	_ = unattended(w, p, nil)
	w.Reboot()
	phase(wizard.Interrupted, "disk", "absent", "within")
	if err := unattended(w, p, nil); err != nil {
		t.Fatal(err)
	}
	w.Reboot()
	phase(wizard.Idle, "", "closed", "no receipt")
	if r.Certificate == nil || r.Certificate.Owner != w.Fprs[0] || r.Problems == nil || len(r.Problems) > 0 {
		t.Errorf("a finished machine: %+v, problems %v", r.Certificate, r.Problems)
	}
	for _, s := range r.Steps {
		if s.Status != "completed" && s.Status != "not needed" {
			t.Errorf("a finished machine: %s is %s: %s", s.ID, s.Status, s.Detail)
		}
	}
	w.Files = "changed" // and nobody's signature explains anything any more
	phase(wizard.Idle, "", "closed", "no receipt")
	for _, s := range r.Steps {
		if bad := slices.Contains([]string{"disk", "boot", "tpm", "firmware"}, s.ID); bad != (s.Status == "problem") {
			t.Errorf("a changed machine: %s is %s: %s", s.ID, s.Status, s.Detail)
		}
	}
}

// No secret, and no part of one, in anything that is kept or shown.
func TestNoSecretLeaves(t *testing.T) {
	w, p := wizardtest.New(), newPaper()
	w.FailOnce("tpm.owner", errors.New("device error 42"))
	var log bytes.Buffer
	_ = unattendedLog(w, p, nil, &log)
	w.Reboot()
	if err := unattendedLog(w, p, nil, &log); err != nil {
		t.Fatal(err)
	}
	r, err := wizard.Status(t.Context(), w.Machine())
	if err != nil {
		t.Fatal(err)
	}
	status, _ := json.Marshal(r)
	kept := map[string][]byte{"log": log.Bytes(), "status": status, "arguments": []byte(strings.Join(os.Args, " ")),
		"environment": []byte(strings.Join(os.Environ(), "\n"))}
	for name, b := range w.Hints {
		kept["/boot/"+name] = b
	}
	secrets := append(slices.Clone(p.seen), wizardtest.SellerPassphrase)
	if len(secrets) < 6 {
		t.Fatalf("only %d secrets", len(secrets))
	}
	for where, b := range kept {
		for _, s := range secrets {
			if bytes.Contains(b, []byte(s)) {
				t.Errorf("%s has a secret", where)
			}
		}
	}
	if len(w.Hints) < 5 {
		t.Errorf("only %d files were looked at", len(w.Hints))
	}
}

// A secret that the TPM does not open is no match, whatever the files say.
func TestDigitsThatTheTPMRefuses(t *testing.T) {
	w, p := wizardtest.New(), newPaper()
	w.Sealed.PCR7 = "another firmware"
	var bad *ui.BadAnswerError
	if err := unattended(w, p, nil); !errors.As(err, &bad) || bad.Key != "verify" {
		t.Fatal(err)
	}
	if len(changed(w)) > 0 {
		t.Errorf("written: %v", w.Ops)
	}
	// Nor is one that is not there, where nobody said that there is none: the seller's fingerprint decides.
	w.Sealed = nil
	if err := unattended(w, p, nil); !errors.As(err, &bad) || bad.Key != "verify" {
		t.Fatal(err)
	}
	if err := unattended(w, p, unproven(w)); err != nil {
		t.Fatal(err)
	}
}

// A key whose reset was begun does not tell its number; when it can be read, and is
// not the one that the seller lists, the run stops before the key gets anything.
func TestAnotherKeyInTheMiddleOfAReset(t *testing.T) {
	w, p := wizardtest.New(), newPaper()
	w.Serial, w.Terminated = "0BADCAFE", true
	if err := unattended(w, p, nil); !errors.Is(err, wizard.ErrOtherCard) {
		t.Fatalf("the run says %v", err)
	}
	if slices.ContainsFunc(w.Ops, func(op string) bool {
		return strings.HasPrefix(op, "card.generate") || strings.HasPrefix(op, "card.pin")
	}) {
		t.Errorf("the key got something: %v", w.Ops)
	}
	w.Reboot()
	if err := unattended(w, p, nil); err == nil || !w.Oem {
		t.Errorf("the next run went on: %v", err)
	}
}

// The key in the reader is another one than the person was shown: exchanged before the
// run began, or put in for a backup that was then not wanted. Nothing on it is touched.
func TestOnlyTheShownKeyIsErased(t *testing.T) {
	for name, c := range map[string]struct {
		swap    string // write at which somebody exchanges the keys
		answers map[string]string
	}{
		"exchanged":       {"append.kexec_reown.log", nil},
		"not wanted then": {"", map[string]string{"backup": "card", "plug.spare": "without"}},
	} {
		t.Run(name, func(t *testing.T) {
			w, p := wizardtest.New(), newPaper()
			mine := w.Spare
			w.Fault = func(op string) error {
				if op == c.swap {
					c.swap = ""
					swap(w, "plug.spare")
				}
				return nil
			}
			h, err := runWithHands(w, p, c.answers)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(h.pages, "plug.main") {
				t.Errorf("pages %v", h.pages)
			}
			mine.CardIn = w.Spare.CardIn
			if !reflect.DeepEqual(w.Spare, mine) {
				t.Errorf("the other key was %+v and is %+v", mine, w.Spare)
			}
			if err := w.Owned(p.seen); err != nil {
				t.Error(err)
			}
		})
	}
}

// Somebody exchanges the keys once the right one is being made new: the other one, which
// has factory PINs, gets nothing.
func TestAKeyExchangedWhileItIsMade(t *testing.T) {
	for _, terminated := range []bool{false, true} {
		for _, at := range []string{"card.activate.done", "card.generate.2.done"} {
			w, p := wizardtest.New(), newPaper()
			w.Terminated = terminated
			w.Spare.UserPIN, w.Spare.AdminPIN = "123456", "12345678"
			other := w.Spare
			w.Fault = func(op string) error {
				if op == at {
					w.CardIn, w.Spare.CardIn = false, true
				}
				return nil
			}
			if err := unattended(w, p, nil); !errors.Is(err, wizard.ErrNoCard) && !errors.Is(err, wizard.ErrOtherCard) {
				t.Errorf("terminated %v, exchanged at %s: the run says %v", terminated, at, err)
			}
			if w.Spare.CardIn = false; !reflect.DeepEqual(w.Spare, other) {
				t.Errorf("terminated %v, exchanged at %s: the other key was %+v and is %+v", terminated, at, other, w.Spare)
			}
		}
	}
}

// Somebody on the way put the disk under a key of his own, or has begun to. Somebody who goes
// on without proof gets a key that only this run knows.
func TestADiskThatSomebodyElseEncrypted(t *testing.T) {
	for name, does := range map[string]func(*wizardtest.Volume){
		"done":  func(v *wizardtest.Volume) { v.Key = "key-evil"; fill(v.Chunks, "key-evil") },
		"begun": func(v *wizardtest.Volume) { v.NewKey, v.Done = "key-evil", 3; fill(v.Chunks[:3], "key-evil") },
	} {
		t.Run(name, func(t *testing.T) {
			w, p := wizardtest.New(), newPaper()
			v := w.Disks[0]
			does(v)
			err := unattended(w, p, unproven(w))
			if err != nil {
				t.Fatal(err)
			}
			if v.Key == "key-evil" || slices.Contains(v.Chunks, "key-evil") || v.NewKey != "" {
				t.Errorf("it is still his: %+v", v)
			}
			if want := p.last["secret.disk"]; !slices.Equal(v.Slots, []string{want}) {
				t.Errorf("opened by %q, not %q", v.Slots, want)
			}
		})
	}
}

func fill(chunks []string, key string) {
	for i := range chunks {
		chunks[i] = key
	}
}
