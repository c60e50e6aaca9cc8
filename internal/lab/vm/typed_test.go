package vm

import (
	"context"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"reown/internal/lab"
)

// A person sits at the virtual laptop's screen and keyboard.
type person struct {
	t     *testing.T
	ctx   context.Context
	m     *Machine
	l     *lab.Laptop
	eyes  *eyes
	pages []string          // a text by which each page was recognised, in order
	paper []string          // what was written down, in order
	shown map[string]string // lines of the screen on which a secret stood
}

// wait looks at the screen until it shows one of the texts and returns which.
func (p *person) wait(texts ...string) (string, string) {
	p.t.Helper()
	for {
		s, err := p.eyes.read()
		if err != nil {
			p.t.Fatal(err)
		}
		for _, x := range texts {
			if strings.Contains(s, x) {
				return x, s
			}
		}
		select {
		case <-p.ctx.Done():
			p.t.Fatalf("none of %q came; the screen shows\n%s", texts, s)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (p *person) typed(text string) {
	p.t.Helper()
	if err := p.m.QMP.Type(text); err != nil {
		p.t.Fatal(err)
	}
}

var wordOnPage = regexp.MustCompile(`(\d+)  ([a-z]+)`)

// note copies a secret from its page to the paper, in the order of the numbers.
func (p *person) note(screen string) string {
	found := wordOnPage.FindAllStringSubmatch(screen, -1)
	slices.SortFunc(found, func(a, b []string) int { return strings.Compare(a[1], b[1]) })
	var words []string
	for _, f := range found {
		words = append(words, f[2])
	}
	secret := strings.Join(words, " ")
	p.paper = append(p.paper, secret)
	for _, line := range strings.Split(screen, "\n") {
		if wordOnPage.MatchString(line) {
			p.shown[fmt.Sprintf("secret %d as shown", len(p.paper))] = strings.TrimSpace(line)
		}
	}
	return secret
}

// takeOwnership answers every page in the order in which they come, until the last,
// which it leaves on the screen.
func (p *person) takeOwnership() *lab.Buyer {
	p.t.Helper()
	b := &lab.Buyer{}
	last := ""
	for {
		at, s := p.wait("Choose your language", "was prepared by", "Press these keys", "Is this the computer",
			"opens the disk now", "Shall the TPM open", "Who makes your secrets",
			"Where else shall the keys", "Your name on the key", "Secret 1 of", "Secret 2 of", "Secret 3 of", "Secret 4 of",
			"Secret 5 of", "Scan this", "Erase and take ownership", "This computer is yours")
		if at == last {
			time.Sleep(300 * time.Millisecond)
			continue
		}
		p.pages, last = append(p.pages, at), at
		switch {
		case at == "This computer is yours":
			return b
		case at == "Is this the computer":
			if strings.Contains(s, "[!!]") || strings.Count(s, "[OK]") < 5 {
				p.t.Fatalf("the hand-over does not verify:\n%s", s)
			}
			p.typed("y")
		case at == "opens the disk now":
			p.typed(p.l.Seller.Disk + "\n")
		case at == "Shall the TPM open":
			p.typed("y")
		case at == "Your name on the key":
			p.typed("Ada Buyer\tada@example.org\n")
		case strings.HasPrefix(at, "Secret"):
			w := p.note(s)
			*[]*string{&b.Disk, &b.DUK, &b.UserPIN, &b.AdminPIN, &b.Owner}[len(p.paper)-1] = w
			p.typed(w)
			p.typed("\n")
		case at == "Scan this":
			file, err := p.eyes.shot("qr.png")
			if err != nil {
				p.t.Fatal(err)
			}
			uri, err := run(p.ctx, nil, "zbarimg", "-q", "--raw", file)
			if err != nil {
				p.t.Fatalf("zbarimg cannot read the code on the screen: %v\n%s", err, s)
			}
			os.Remove(file)
			u, err := url.Parse(strings.TrimSpace(string(uri)))
			if err != nil || u.Scheme != "otpauth" {
				p.t.Fatalf("the code says %q: %v", uri, err)
			}
			b.TOTP = u.Query().Get("secret")
			code, err := run(p.ctx, nil, "oathtool", "--totp", "-b", b.TOTP)
			if err != nil {
				p.t.Fatal(err)
			}
			p.typed(strings.TrimSpace(string(code)) + "\n")
		case at == "Erase and take ownership":
			p.typed("0001\n")
		default:
			p.typed("\n")
		}
	}
}

// TestTypedAtTheConsole takes ownership at the laptop's own screen and keyboard, and
// lets the wizard restart the laptop. At that instant all memory, the program's own
// too, is searched for every secret of the run. Then the installed system starts with
// the disk unlock key, and asks nothing.
func TestTypedAtTheConsole(t *testing.T) {
	if os.Getenv("REOWN_SOAK") == "" {
		t.Skip("a whole run more, which TestReownedInVM does without a keyboard: REOWN_SOAK=1")
	}
	l, fw := newLaptop(t)
	ctx := deadline(t, 30*time.Minute)
	m := boot(t, ctx, l, Options{Firmware: fw, Display: Screen, HoldAtReset: true, Script: learnScript + "reown wizard " +
		Flags})
	e, err := newEyes(m)
	if err != nil {
		t.Fatal(err)
	}
	p := &person{t: t, ctx: ctx, m: m, l: l, eyes: e, shown: map[string]string{}}
	b := p.takeOwnership()
	marker(t, ctx, m)
	p.typed("\n")
	if err := m.Held(ctx); err != nil {
		t.Fatal(err)
	}
	text, raw := secretsOf(t, ctx, l, b)
	duk := unlockKey(t, ctx, copyLaptop(t, l.Dir, l.Dir+"k"), b)
	text["start passphrase"], raw["disk unlock key, its beginning"], raw["disk unlock key, its end"] = b.DUK, duk[:32],
		duk[96:]
	for name, line := range p.shown {
		text[name] = line
	}
	memoryMustBeClean(t, m, text, raw)
	m.Cut()
	t.Logf("%d pages: %s", len(p.pages), strings.Join(p.pages, ", "))
	l.Device = "/dev/nvme0n1p2"
	mustBeBuyers(t, ctx, l, b)
	startOS(t, ctx, l, fw, b, duk)
}

// unlockKey is the disk unlock key, as Heads' commands get it from a laptop's TPM.
func unlockKey(t *testing.T, ctx context.Context, l *lab.Laptop, b *lab.Buyer) []byte {
	t.Helper()
	if err := Collect(ctx, l); err != nil {
		t.Fatal(err)
	}
	if err := l.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer l.Stop()
	if err := l.Heads.MeasureHeaders(ctx, filepath.Join(l.BootDir(), "kexec_lukshdr_hash.txt")); err != nil {
		t.Fatal(err)
	}
	key, err := l.Heads.UnsealDUK(ctx, b.DUK)
	if err != nil || len(key) != 128 {
		t.Fatalf("the disk unlock key: %d bytes, %v", len(key), err)
	}
	return key
}

// markerText is what the search must find, in the page cache.
const markerText = "Findme-7f3a"

func marker(t *testing.T, ctx context.Context, m *Machine) {
	t.Helper()
	if _, err := m.Sh(ctx, "echo "+markerText+" >/tmp/marker"); err != nil {
		t.Fatal(err)
	}
}

// secretsOf are the secrets of a run by name; the volume keys are what cryptsetup says.
func secretsOf(t *testing.T, ctx context.Context, l *lab.Laptop, b *lab.Buyer) (text map[string]string,
	raw map[string][]byte) {
	t.Helper()
	totp, err := base32.StdEncoding.DecodeString(b.TOTP)
	if err != nil {
		t.Fatal(err)
	}
	text = map[string]string{
		"disk passphrase": b.Disk, "user PIN": b.UserPIN, "admin PIN": b.AdminPIN, "TPM owner passphrase": b.Owner,
		"TOTP secret": b.TOTP, "TOTP secret in groups": grouped(b.TOTP), "seller's disk passphrase": l.Seller.Disk,
	}
	raw = map[string][]byte{"TOTP secret": totp}
	old, err := hex.DecodeString(l.VolumeKey)
	if err != nil {
		t.Fatal(err)
	}
	offset, size := l.Window()
	v, err := lab.CopyVolume(l.Disk(), offset, size, l.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(v.Path)
	key, err := v.Key(ctx, b.Disk)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(raw, pieces("old volume key", old))
	maps.Copy(raw, pieces("new volume key", key))
	return text, raw
}

// nothingLeft lets a run in the guest make its secrets, try the seller's passphrase and end at the
// last question, which nobody answers; then the memory is searched for them.
func nothingLeft(t *testing.T, ctx context.Context, l *lab.Laptop, m *Machine) {
	t.Helper()
	prepare(t, l)
	answers := filepath.Join(filepath.Dir(paper(l)), "answers.json")
	all := readJSON(t, answers)
	delete(all, "confirm")
	writeJSON(t, answers, all)
	out, err := m.Sh(ctx, ". /tmp/lab-devices\n"+unattended)
	if err != nil || !strings.Contains(out, "page check") || !strings.Contains(out, "LAB-EXIT 4") {
		t.Fatalf("the run did not end at the last question: %v\n%s", err, out)
	}
	b := remember(t, l)
	marker(t, ctx, m)
	old, err := hex.DecodeString(l.VolumeKey)
	if err != nil || b.Disk == "" || b.TOTP == "" {
		t.Fatalf("no secrets were made: %v", err)
	}
	text := map[string]string{"seller's disk passphrase": l.Seller.Disk, "disk passphrase": b.Disk, "user PIN": b.UserPIN,
		"admin PIN": b.AdminPIN, "TPM owner passphrase": b.Owner, "TOTP secret": b.TOTP}
	memoryMustBeClean(t, m, text, pieces("old volume key", old))
}

// pieces are a volume key's, in which the round keys of both directions have it, too.
func pieces(name string, key []byte) map[string][]byte {
	all := map[string][]byte{}
	for i := 0; i+16 <= len(key); i += 16 {
		all[fmt.Sprintf("%s, bytes %d to %d", name, i, i+15)] = key[i : i+16]
	}
	return all
}

// memoryMustBeClean counts what is left of secrets in the guest's memory and prints
// the table.
func memoryMustBeClean(t *testing.T, m *Machine, text map[string]string, raw map[string][]byte) {
	t.Helper()
	text["(a marker)"] = markerText
	hits, err := m.SearchMemory(text, raw, 20)
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(filepath.Join(base.dir, "lab")) // labd, in which the seller's passphrase is a constant
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]map[string]int{}
	for name := range text {
		count[name] = map[string]int{}
	}
	for name := range raw {
		if count[name] == nil {
			count[name] = map[string]int{}
		}
	}
	for _, h := range hits {
		if strings.Contains(string(program), string(h.Around)) {
			continue
		}
		count[h.Secret][h.Form]++
		if h.Secret != "(a marker)" {
			t.Errorf("%s as %s at %#x: %q", h.Secret, h.Form, h.At, h.Around)
		}
	}
	if count["(a marker)"]["text"] == 0 {
		t.Error("the search does not find what is there")
	}
	var names []string
	for name := range count {
		names = append(names, name)
	}
	slices.Sort(names)
	var table strings.Builder
	for _, name := range names {
		fmt.Fprintf(&table, "| %s |", name)
		for _, f := range Forms {
			fmt.Fprintf(&table, " %d |", count[name][f])
		}
		table.WriteString("\n")
	}
	t.Logf("finds in %d MiB of memory\n| secret | %s |\n%s", memory>>20, strings.Join(Forms, " | "), table.String())
}

// TestSearch finds a secret in every form, at even and odd addresses and across the
// borders of what is searched at a time.
func TestSearch(t *testing.T) {
	const s = "a secret"
	cells := func(attr byte) (p []byte) {
		for i := range len(s) {
			p = append(p, s[i], attr)
		}
		return p
	}
	for form, p := range map[string][]byte{"text": []byte(s), "UTF-16": forms([]byte(s))["UTF-16"],
		"UTF-32": forms([]byte(s))["UTF-32"], "cells": cells(0x07)} {
		for _, at := range []int{0, 1000, 1001, 16<<20 - 7, 16<<20 - 8, 17 << 20, 32<<20 - len(p)} {
			ram := make([]byte, 32<<20)
			copy(ram[at:], p)
			hits := search(ram, map[string]string{"x": s}, nil, 5)
			if len(hits) != 1 || hits[0].Form != form || hits[0].At != int64(at) {
				t.Errorf("%s at %d: %+v", form, at, hits)
			}
		}
	}
}
