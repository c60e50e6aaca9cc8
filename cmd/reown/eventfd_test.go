package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// exerciser uses what makes the runtime start its poller: timers, pipes and many
// goroutines that wait.
const exerciser = `package main

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"
)

func main() {
	var wg sync.WaitGroup
	for i := 0; i < 200; i++ {
		wg.Add(1)
		go func() { defer wg.Done(); time.Sleep(time.Duration(i%20) * time.Millisecond) }()
	}
	r, w, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	go func() { time.Sleep(5 * time.Millisecond); w.Write([]byte("x")); w.Close() }()
	if n, err := r.Read(make([]byte, 8)); n != 1 {
		panic(err)
	}
	for i := 0; i < 5; i++ {
		if out, err := exec.Command("/bin/echo", "hi").Output(); string(out) != "hi\n" {
			panic(err)
		}
	}
	wg.Wait()
	fmt.Println("done")
}
`

// TestKernelWithoutEventfd runs programs on a kernel that answers ENOSYS to
// eventfd, as all shipped x86 Heads boards do.
func TestKernelWithoutEventfd(t *testing.T) {
	dir := t.TempDir()
	overlay := filepath.Join(dir, "overlay")
	goRun(t, "../..", "run", "./scripts/overlay", overlay)
	src := filepath.Join(dir, "x.go")
	if err := os.WriteFile(src, []byte(exerciser), 0o644); err != nil {
		t.Fatal(err)
	}
	goRun(t, dir, "build", "-o", "plain", src)
	goRun(t, dir, "build", "-overlay", filepath.Join(overlay, "overlay.json"), "-o", "patched", src)
	under := func(program string, args ...string) (string, error) {
		out, err := exec.Command(os.Args[0], append([]string{withoutEventfd, filepath.Join(dir, program)},
			args...)...).CombinedOutput()
		return string(out), err
	}
	if out, err := under("plain"); err == nil || !strings.Contains(out, "eventfd failed") {
		t.Fatalf("the filter does not bite, this test proves nothing: %v %s", err, out)
	}
	for range 3 {
		if out, err := under("patched"); err != nil || out != "done\n" {
			t.Fatalf("patched runtime: %v\n%s", err, out)
		}
	}
	if out, err := exec.Command(filepath.Join(dir, "patched")).CombinedOutput(); err != nil || string(out) != "done\n" {
		t.Fatalf("patched runtime on an ordinary kernel: %v\n%s", err, out)
	}
	if os.Getenv("REOWN_SOAK") == "" {
		return // the whole program is compiled once more for the rest
	}
	goRun(t, "../..", "build", "-o", filepath.Join(dir, "reown-plain"), "./cmd/reown")
	if out, err := under("reown-plain", "help"); err == nil || !strings.Contains(out, "CONFIG_EVENTFD") {
		t.Fatalf("a plain build on such a kernel must name the option: %v\n%s", err, out)
	}
}

func goRun(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
