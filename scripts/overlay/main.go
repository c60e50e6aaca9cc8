// Overlay writes the file for `go build -overlay` that lets a Go program run on
// kernels without CONFIG_EVENTFD: all x86 boards that Heads ships today.
//
// Since Go 1.23 the runtime wakes its network poller through an eventfd and dies
// when the kernel has none. The patch falls back to a pipe, which the runtime used
// before and still contains. It is applied to the toolchain's own source at build
// time, and every replacement must match exactly once: a new Go release that
// changes this file stops the build instead of shipping something untested.
//
// usage: go run ./scripts/overlay DIR   (writes DIR/overlay.json)
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// edits are applied in order; each old text must occur exactly once.
var edits = []struct{ old, new string }{
	{
		"	netpollEventFd uintptr            // eventfd for netpollBreak\n",
		"	netpollEventFd uintptr            // eventfd for netpollBreak, or the read end of a pipe\n" +
			"	netpollBreakFd uintptr            // where netpollBreak writes\n",
	},
	{
		"	efd, errno := linux.Eventfd(0, linux.EFD_CLOEXEC|linux.EFD_NONBLOCK)\n	if errno != 0 {\n",
		"	efd, errno := linux.Eventfd(0, linux.EFD_CLOEXEC|linux.EFD_NONBLOCK)\n" +
			"	wfd := efd\n" +
			"	if errno == 38 { // ENOSYS: CONFIG_EVENTFD=n\n" +
			"		var perr int32\n" +
			"		efd, wfd, perr = nonblockingPipe()\n" +
			"		errno = uintptr(-perr)\n" +
			"	}\n	if errno != 0 {\n",
	},
	{
		"	netpollEventFd = uintptr(efd)\n",
		"	netpollEventFd = uintptr(efd)\n	netpollBreakFd = uintptr(wfd)\n",
	},
	{
		"fd == uintptr(epfd) || fd == netpollEventFd\n",
		"fd == uintptr(epfd) || fd == netpollEventFd || fd == netpollBreakFd\n",
	},
	{
		"write(netpollEventFd,",
		"write(netpollBreakFd,",
	},
}

func patch(src string) (string, error) {
	for i, e := range edits {
		if n := strings.Count(src, e.old); n != 1 {
			return "", fmt.Errorf("edit %d matches %d times, not once: this Go release has another netpoll_epoll.go", i+1, n)
		}
		src = strings.Replace(src, e.old, e.new, 1)
	}
	return src, nil
}

func run(dir string) error {
	goTool := os.Getenv("GO")
	if goTool == "" {
		goTool = "go"
	}
	out, err := exec.Command(goTool, "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("asking %s for GOROOT: %w", goTool, err)
	}
	orig := filepath.Join(strings.TrimSpace(string(out)), "src/runtime/netpoll_epoll.go")
	src, err := os.ReadFile(orig)
	if err != nil {
		return err
	}
	text, err := patch(string(src))
	if err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	patched := filepath.Join(dir, "netpoll_epoll.go")
	if err := os.WriteFile(patched, []byte(text), 0o644); err != nil {
		return err
	}
	js, err := json.Marshal(map[string]map[string]string{"Replace": {orig: patched}})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "overlay.json"), js, 0o644)
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: overlay DIR")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "overlay:", err)
		os.Exit(1)
	}
}
