package vm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"reown/internal/lab"
)

// A recording is one whole run of the wizard in the virtual machine: every request
// that its kernel sent to the disk, and what the laptop's other memories held at many
// moments of every step. It stands for as many power cuts as one likes.
type recording struct {
	before  *lab.Laptop // as the seller ships it, switched off
	confirm string      // what the owner types to confirm
	log     *WriteLog
	moments []moment
	torn    *moment // the first at which the chip was not as before
}

// A moment is what the laptop's memories hold while its processor stands still.
type moment struct {
	step     string            // the last that had begun; "" before the first
	requests int               // to the disk, so far
	logged   int64             // length of the log so far, bytes
	tpm      map[string][]byte // files of the TPM's state
	card     []byte
	chip     map[int64][]byte  // what differs from the seller's chip
	paper    map[string]string // what the owner has written down
}

// chipBlock is the unit in which the chip's content is compared, in bytes.
const chipBlock = 4096

// sameDevices says whether nothing but the disk changed between two moments, so that
// the power can go at each request in between.
func (a *moment) sameDevices(b *moment) bool {
	return bytes.Equal(a.card, b.card) && maps.EqualFunc(a.tpm, b.tpm, bytes.Equal) &&
		maps.EqualFunc(a.chip, b.chip, bytes.Equal) && maps.Equal(a.paper, b.paper)
}

// record re-owns a laptop without a person, keeping up to perStep moments of each
// step. The machine is still on.
func record(t *testing.T, ctx context.Context, l *lab.Laptop, fw *Firmware, perStep int) (*recording, *Machine) {
	t.Helper()
	r := &recording{before: copyLaptop(t, l.Dir, l.Dir+"0")}
	uuid, err := luksUUID(ctx, l)
	if err != nil {
		t.Fatal(err)
	}
	r.confirm = uuid[len(uuid)-4:]
	chip, err := os.ReadFile(l.ROM())
	if err != nil {
		t.Fatal(err)
	}
	file := l.Dir + "-writes"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	prepare(t, l)
	// Behind virtio Linux asks for a flush where NVMe would get a write that is
	// marked "through the cache", which QEMU's log does not show.
	m := boot(t, ctx, l, Options{Firmware: fw, Disk: "virtio", Log: file,
		Script: strings.Replace(unattended, Flags, Flags+" --no-restart", 1)})
	w := &watcher{m: m, l: l, log: file, chip: chip, perStep: perStep, taken: map[string][]moment{},
		skip: map[string]time.Duration{}}
	for !strings.Contains(m.Console(), "LAB-EXIT") {
		if err := w.look(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the run did not end:\n%s", m.Console())
		case <-m.Off():
			t.Fatalf("the machine is off:\n%s", m.Console())
		case <-time.After(time.Millisecond):
		}
	}
	if !strings.Contains(m.Console(), "LAB-EXIT 0") {
		t.Fatalf("the run failed:\n%s", m.Console())
	}
	if err := w.take(); err != nil { // the end
		t.Fatal(err)
	}
	if r.log, err = OpenWriteLog(file); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.log.Close() })
	flushes := 0
	for _, e := range r.log.Entries {
		if e.Flush {
			flushes++
		}
	}
	for _, s := range w.steps {
		for _, x := range w.taken[s] {
			x.requests = r.log.Before(x.logged)
			r.moments = append(r.moments, x)
		}
	}
	if r.torn = w.torn; r.torn != nil {
		r.torn.requests = r.log.Before(r.torn.logged)
	}
	t.Logf("recorded: %d requests to the disk, %d of them flushes; %d moments", len(r.log.Entries), flushes,
		len(r.moments))
	if flushes < 10 || len(r.moments) < 50 {
		t.Fatal("too little to prove anything")
	}
	return r, m
}

func luksUUID(ctx context.Context, l *lab.Laptop) (string, error) {
	offset, size := l.Window()
	v, err := lab.CopyVolume(l.Disk(), offset, size, l.Dir)
	if err != nil {
		return "", err
	}
	defer os.Remove(v.Path)
	out, err := run(ctx, nil, "cryptsetup", "luksUUID", v.Path)
	return strings.TrimSpace(string(out)), err
}

// A watcher stops the machine for an instant when one of its memories has changed, and
// copies them.
type watcher struct {
	m       *Machine
	l       *lab.Laptop
	log     string
	chip    []byte // as the seller wrote it
	perStep int

	chipTime time.Time
	chipLast map[int64][]byte
	torn     *moment
	seen     string
	last     time.Time
	steps    []string
	taken    map[string][]moment
	skip     map[string]time.Duration // time between moments of a step, grown when it gives too many
}

func (w *watcher) tpmDir() string { return filepath.Join(w.l.Dir, "tpm/state") }

// look takes a moment if something has changed.
func (w *watcher) look() error {
	now := fmt.Sprint(w.m.Card.Commands())
	for _, name := range []string{w.log, filepath.Join(w.tpmDir(), "tpm2-00.permall"), w.l.ROM(),
		filepath.Join(w.l.Dir, "vm/flash/made.json")} {
		if st, err := os.Stat(name); err == nil {
			now += fmt.Sprint(" ", st.Size(), st.ModTime().UnixNano())
		}
	}
	if now == w.seen || time.Since(w.last) < w.skip[stepNow(w.m.Console())] {
		return nil
	}
	w.seen = now
	return w.take()
}

// stepNow is the step that the wizard last said it was doing.
func stepNow(console string) string {
	i := strings.LastIndex(console, ": In progress")
	if i < 0 {
		return ""
	}
	return strings.TrimSpace(console[strings.LastIndexByte(console[:i], '\n')+1 : i])
}

// take copies every memory while the processor stands still.
func (w *watcher) take() (err error) {
	if err := w.m.freeze(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.m.qemu.Process.Signal(syscall.SIGCONT)); w.last = time.Now() }()
	x := moment{step: stepNow(w.m.Console()), tpm: map[string][]byte{},
		paper: map[string]string{"secret.current": w.l.Seller.Disk}}
	st, err := os.Stat(w.log)
	if err != nil {
		return err
	}
	x.logged = st.Size()
	if x.card, err = w.m.Card.Save(); err != nil {
		return err
	}
	files, err := os.ReadDir(w.tpmDir())
	if err != nil {
		return err
	}
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(w.tpmDir(), f.Name()))
		if errors.Is(err, os.ErrNotExist) {
			continue // a temporary file, renamed just now
		}
		if err != nil {
			return err
		}
		x.tpm[f.Name()] = data
	}
	if x.chip, err = w.chipNow(); err != nil {
		return err
	}
	if made, err := os.ReadFile(filepath.Join(w.l.Dir, "vm/flash/made.json")); err == nil {
		if err := json.Unmarshal(made, &x.paper); err != nil {
			return err
		}
	}
	if len(x.chip) > 0 && w.torn == nil {
		w.torn = &x
	}
	list := append(w.taken[x.step], x)
	if len(list) == 1 {
		w.steps = append(w.steps, x.step)
	}
	if len(list) > w.perStep { // every other one is enough
		for i := range len(list) / 2 {
			list[i] = list[2*i+1]
		}
		list = list[:len(list)/2]
		w.skip[x.step] = 2*w.skip[x.step] + 5*time.Millisecond
	}
	w.taken[x.step] = list
	return nil
}

// chipNow is what differs from the seller's chip.
func (w *watcher) chipNow() (map[int64][]byte, error) {
	st, err := os.Stat(w.l.ROM())
	if err != nil || st.ModTime().Equal(w.chipTime) {
		return w.chipLast, err
	}
	chip, err := os.ReadFile(w.l.ROM())
	if err != nil {
		return nil, err
	}
	w.chipTime, w.chipLast = st.ModTime(), map[int64][]byte{}
	for at := 0; at < len(chip); at += chipBlock {
		if p := chip[at : at+chipBlock]; !bytes.Equal(p, w.chip[at:at+chipBlock]) {
			w.chipLast[int64(at)] = bytes.Clone(p)
		}
	}
	return w.chipLast, nil
}

// freeze stops the machine without its doing anything more: QMP's stop would flush
// the disk first.
func (m *Machine) freeze() error {
	if err := m.qemu.Process.Signal(syscall.SIGSTOP); err != nil {
		return errGone
	}
	for {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", m.qemu.Process.Pid))
		if err != nil || len(tasks) == 0 {
			return errGone
		}
		stopped := 0
		for _, name := range tasks {
			stat, _ := os.ReadFile(name)
			if i := bytes.LastIndexByte(stat, ')'); i >= 0 && len(stat) > i+2 && stat[i+2] == 'T' {
				stopped++
			}
		}
		if stopped == len(tasks) {
			return nil
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// A point is a power cut to be played.
type point struct {
	moment *moment
	n      int // requests that the disk had got
	loss   Loss
}

// points spreads n power cuts over the steps, and over the ways in which unflushed
// writes are lost.
func (r *recording) points(n int, rnd *rand.Rand) []point {
	byStep := map[string][]int{}
	var steps []string
	for i := range r.moments {
		s := r.moments[i].step
		if byStep[s] == nil {
			steps = append(steps, s)
		}
		byStep[s] = append(byStep[s], i)
	}
	for _, list := range byStep {
		rnd.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	if n < len(steps) { // a sample
		rnd.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
	}
	var out []point
	if r.torn != nil {
		out = append(out, point{r.torn, r.torn.requests, Kept})
	}
	// And the last at which the chip was not yet what it became: its keyring is the new one.
	final := r.moments[len(r.moments)-1].chip
	for i := len(r.moments) - 1; i >= 0; i-- {
		if m := &r.moments[i]; len(m.chip) > 0 && !maps.EqualFunc(m.chip, final, bytes.Equal) {
			out = append(out, point{m, m.requests, Torn})
			break
		}
	}
	for round := 0; len(out) < n; round++ {
		for j, s := range steps {
			list := byStep[s]
			i := list[round%len(list)]
			p := point{&r.moments[i], r.moments[i].requests, Loss((round + j) % NumLoss)}
			if i+1 < len(r.moments) && p.moment.sameDevices(&r.moments[i+1]) {
				p.n += rnd.IntN(r.moments[i+1].requests - p.n + 1)
			}
			if out = append(out, p); len(out) == n {
				break
			}
		}
	}
	return out
}

// An outcome is what became of a laptop after a power cut.
type outcome struct {
	lost     int    // requests to the disk that were lost, wholly or in part
	repaired bool   // the kernel would not have mounted /boot; e2fsck repaired it
	how      string // what the next start did
	err      error
}

// play makes the laptop as a power cut leaves it and switches it on again, in host
// mode: the shipped binary finishes, and foreign tools judge. dir is for its files;
// its path must be short.
func (r *recording) play(ctx context.Context, dir string, p point, seed uint64) (o outcome) {
	fail := func(err error) outcome { o.err = err; return o }
	l, err := r.after(ctx, dir, p, seed, &o)
	if err != nil {
		return fail(err)
	}
	if p.moment.step == "Disk" {
		if err := cryptsetupFinishes(ctx, l, p.moment.paper); err != nil {
			return fail(fmt.Errorf("cryptsetup as the one who finishes: %w", err))
		}
	}
	if err := l.Start(ctx); err != nil {
		return fail(err)
	}
	defer l.Stop()
	paper, answers, made := filepath.Join(dir, "paper.json"), filepath.Join(dir, "answers.json"),
		filepath.Join(dir, "made.json")
	if err := saveJSON(answers, map[string]string{"language": "en", "verify": "match", "name": "Ada Buyer",
		"email": "ada@example.org", "confirm": r.confirm}); err != nil {
		return fail(err)
	}
	wizard := append([]string{base.reown, "wizard", "--no-input", "--answers", answers, "--secrets-in", paper,
		"--secrets-out", made}, l.Flags()...)
	known := maps.Clone(p.moment.paper)
	start := func() ([]byte, error) {
		if err := saveJSON(paper, known); err != nil {
			return nil, err
		}
		out, err := apart(ctx, wizard)
		if js, rerr := os.ReadFile(made); rerr == nil {
			err = errors.Join(err, json.Unmarshal(js, &known))
		}
		return out, err
	}
	out, err := start()
	if bytes.Contains(out, []byte(`"secret.current"`)) && p.moment.paper["secret.disk"] != "" {
		// "If you have written down a new one already, it may be that one."
		known["secret.current"] = known["secret.disk"]
		out, err = start()
	}
	if bytes.Contains(out, []byte("page restart")) { // as when it began from a chip that was half written
		if err := l.PowerCycle(ctx); err != nil {
			return fail(err)
		}
		first := out
		out, err = start()
		out = append(first, out...)
	}
	switch {
	case err != nil:
		return fail(fmt.Errorf("the next start: %w\n%s", err, out))
	case bytes.Contains(out, []byte("nothing to do")):
		o.how = "was finished"
	case bytes.Contains(out, []byte("page closing")): // but for the trigger in /boot
		o.how = "was finished"
	case bytes.Contains(out, []byte("page done")):
		o.how = "went on"
	default:
		return fail(fmt.Errorf("the next start neither went on nor found nothing to do:\n%s", out))
	}
	if err := lab.Failed(l.Judge(ctx, buyerOf(known))); err != nil {
		return fail(fmt.Errorf("judged after it %s: %w\n%s", o.how, err, out))
	}
	return o
}

func saveJSON(name string, v any) error {
	js, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(name, js, 0o600)
}

// apart runs a program with a /run of its own: LUKS locks are by volume, and these
// laptops are copies of one.
func apart(ctx context.Context, command []string) ([]byte, error) {
	args := []string{"--mount", "--propagation", "private"}
	if os.Getuid() != 0 {
		args = append(args, "--user", "--map-root-user")
	}
	args = append(args, "sh", "-c", `mount -t tmpfs tmpfs /run && exec "$@"`, "sh")
	return exec.CommandContext(ctx, "unshare", append(args, command...)...).CombinedOutput()
}

// after makes the laptop that a power cut leaves.
func (r *recording) after(ctx context.Context, dir string, p point, seed uint64, o *outcome) (*lab.Laptop, error) {
	from := r.before.Dir
	if _, err := run(ctx, nil, "cp", "-a", "--sparse=always", from+"/laptop.json", from+"/config", from+"/seller.gpg",
		from+"/gpg", from+"/rom.bin", from+"/disk.img", dir); err != nil {
		return nil, err
	}
	l, err := lab.Load(dir)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "card.json"), p.moment.card, 0o600); err != nil {
		return nil, err
	}
	state := filepath.Join(dir, "tpm/state")
	if err := os.MkdirAll(state, 0o700); err != nil {
		return nil, err
	}
	for name, data := range p.moment.tpm {
		if err := os.WriteFile(filepath.Join(state, name), data, 0o600); err != nil {
			return nil, err
		}
	}
	chip, err := os.OpenFile(l.ROM(), os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	defer chip.Close()
	for at, data := range p.moment.chip {
		if _, err := chip.WriteAt(data, at); err != nil {
			return nil, err
		}
	}
	disk, err := os.OpenFile(l.Disk(), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer disk.Close()
	if o.lost, err = r.log.Crash(disk, p.n, p.loss, rand.New(rand.NewPCG(seed, 1))); err != nil {
		return nil, err
	}
	o.repaired, err = collect(ctx, l, p.loss == Torn)
	return l, err
}

// cryptsetupFinishes lets cryptsetup end a re-encryption that was cut off, on a copy,
// and judges it: a passphrase opens the disk, and no file is harmed.
func cryptsetupFinishes(ctx context.Context, l *lab.Laptop, paper map[string]string) error {
	offset, size := l.Window()
	v, err := lab.CopyVolume(l.Disk(), offset, size, l.Dir)
	if err != nil {
		return err
	}
	defer os.Remove(v.Path)
	// cryptsetup wants the zone that was being written repaired by hand; what is left
	// then is resumed.
	for _, verb := range [][]string{{"repair"}, {"reencrypt", "--resume-only", "--force-offline-reencrypt"}} {
		dump, err := v.Dump(ctx)
		if err != nil {
			return err
		}
		if !strings.Contains(dump, "online-reencrypt") {
			break
		}
		if _, err := run(ctx, []byte(paper["secret.disk"]), "cryptsetup",
			append(verb, "--batch-mode", "--disable-locks", "--key-file", "-", v.Path)...); err != nil {
			return err
		}
	}
	opens := ""
	for _, p := range []string{l.Seller.Disk, paper["secret.disk"]} {
		if ok, err := v.Opens(ctx, p); err != nil {
			return err
		} else if ok {
			opens = p
		}
	}
	if opens == "" {
		return errors.New("no passphrase opens the disk")
	}
	key, err := v.Key(ctx, opens)
	if err != nil {
		return err
	}
	files, err := v.Files(ctx, key)
	if err != nil {
		return err
	}
	return lab.SameFiles(files, l.Files)
}

// replay cuts the power n times, spread over all steps: the processor, the TPM, the
// security key and the chip stop where they are, and the disk loses or reorders what it
// had not flushed. The next start must finish.
func (r *recording) replay(t *testing.T, ctx context.Context, n int) {
	began := time.Now()
	seed := uint64(time.Now().UnixNano())
	points := r.points(n, rand.New(rand.NewPCG(seed, 0)))
	outcomes := make([]outcome, n)
	var wg sync.WaitGroup
	next := make(chan int)
	for range 2 {
		wg.Go(func() {
			for i := range next {
				dir := filepath.Join(filepath.Dir(r.before.Dir), fmt.Sprint("p", i))
				if err := os.Mkdir(dir, 0o700); err != nil {
					outcomes[i].err = err
					continue
				}
				outcomes[i] = r.play(ctx, dir, points[i], seed+uint64(i))
				os.RemoveAll(dir)
			}
		})
	}
	for i := range n {
		next <- i
		if i%20 == 19 {
			t.Logf("%d cuts begun after %.0f s", i+1, time.Since(began).Seconds())
		}
	}
	close(next)
	wg.Wait()
	t.Logf("%d power cuts in %.0f s\n%s", n, time.Since(began).Seconds(), table(points, outcomes))
	for i, o := range outcomes {
		if o.err != nil {
			t.Errorf("seed %d, cut %d, in %q after request %d, unflushed writes %s: %v", seed, i, points[i].moment.step,
				points[i].n, points[i].loss, o.err)
		}
	}
}

// table counts the outcomes by step.
func table(points []point, outcomes []outcome) string {
	type row struct {
		cuts, lost, repaired, failed int
		loss                         [NumLoss]int
		how                          map[string]int
	}
	rows, steps := map[string]*row{}, []string{}
	for i, p := range points {
		w := rows[p.moment.step]
		if w == nil {
			w = &row{how: map[string]int{}}
			rows[p.moment.step] = w
			steps = append(steps, p.moment.step)
		}
		w.cuts++
		w.lost += outcomes[i].lost
		w.loss[p.loss]++
		if outcomes[i].repaired {
			w.repaired++
		}
		if outcomes[i].err != nil {
			w.failed++
		} else {
			w.how[outcomes[i].how]++
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| step | cuts | unflushed writes kept / lost / reordered / torn | requests lost | /boot needed e2fsck | the next start went on | had nothing to do | harm |\n|---|---|---|---|---|---|---|---|\n")
	for _, s := range steps {
		w := rows[s]
		name := s
		if name == "" {
			name = "before the first"
		}
		fmt.Fprintf(&b, "| %s | %d | %d / %d / %d / %d | %d | %d | %d | %d | %d |\n", name, w.cuts, w.loss[Kept],
			w.loss[Lost], w.loss[Partly], w.loss[Torn], w.lost, w.repaired, w.how["went on"], w.how["was finished"], w.failed)
	}
	return b.String()
}
