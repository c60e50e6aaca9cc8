package lukstest

import (
	"encoding/binary"
	"os"
	"os/exec"
	"testing"
)

// wlogSource is a library that, preloaded into a program, appends every write and
// flush of the file $WLOG_IMG to the file $WLOG_OUT: a letter, offset and length
// (64-bit little-endian), the data.
const wlogSource = `
#define _GNU_SOURCE
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <unistd.h>
#include <fcntl.h>
#include <sys/syscall.h>

static int logfd = -2;

static int ours(int fd)
{
	char link[64], path[4096];
	const char *img = getenv("WLOG_IMG"), *out = getenv("WLOG_OUT");
	ssize_t n;

	if (logfd == -2)
		logfd = out ? syscall(SYS_openat, AT_FDCWD, out, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
	if (logfd < 0 || !img)
		return 0;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return 0;
	path[n] = 0;
	return !strcmp(path, img);
}

static void put(const void *p, size_t n)
{
	while (n) {
		ssize_t w = syscall(SYS_write, logfd, p, n);
		if (w <= 0)
			abort();
		p = (const char *)p + w;
		n -= w;
	}
}

static void record(char type, uint64_t off, uint64_t len, const void *data)
{
	char head[17];

	head[0] = type;
	memcpy(head + 1, &off, 8);
	memcpy(head + 9, &len, 8);
	put(head, sizeof(head));
	put(data, len);
}

ssize_t write(int fd, const void *p, size_t n)
{
	int mine = ours(fd);
	off_t at = mine ? syscall(SYS_lseek, fd, 0, SEEK_CUR) : 0;
	ssize_t r = syscall(SYS_write, fd, p, n);

	if (mine && r > 0)
		record('W', at, r, p);
	return r;
}

ssize_t pwrite64(int fd, const void *p, size_t n, off_t at)
{
	ssize_t r = syscall(SYS_pwrite64, fd, p, n, at);

	if (r > 0 && ours(fd))
		record('W', at, r, p);
	return r;
}

int fsync(int fd)
{
	int r = syscall(SYS_fsync, fd);

	if (ours(fd))
		record('F', 0, 0, "");
	return r;
}

int fdatasync(int fd)
{
	int r = syscall(SYS_fdatasync, fd);

	if (ours(fd))
		record('F', 0, 0, "");
	return r;
}
`

// Recorded runs cryptsetup and returns what it wrote to img.
func (p *Peer) Recorded(img string, args ...string) []Op {
	p.t.Helper()
	ops, err := p.TryRecorded(img, args...)
	if err != nil {
		p.t.Fatal(err)
	}
	return ops
}

// TryRecorded is Recorded for a run that may fail.
func (p *Peer) TryRecorded(img string, args ...string) ([]Op, error) {
	p.t.Helper()
	lib := wlogLibrary(p.t, p.Dir)
	out := p.Path("wlog")
	os.Remove(out)
	cmd := exec.Command("cryptsetup", args...)
	cmd.Dir = p.Dir
	cmd.Env = append(os.Environ(), "LD_PRELOAD="+lib, "WLOG_IMG="+img, "WLOG_OUT="+out)
	text, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Logf("cryptsetup %q: %v: %s", args, err, text)
	}
	return parseWlog(p.t, p.Read("wlog")), err
}

func wlogLibrary(t testing.TB, dir string) string {
	t.Helper()
	Need(t, "gcc")
	lib := dir + "/wlog.so"
	if _, err := os.Stat(lib); err == nil {
		return lib
	}
	src := dir + "/wlog.c"
	if err := os.WriteFile(src, []byte(wlogSource), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gcc", "-O1", "-shared", "-fPIC", "-o", lib, src).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v: %s", err, out)
	}
	return lib
}

func parseWlog(t testing.TB, b []byte) []Op {
	var ops []Op
	for len(b) > 0 {
		if len(b) < 17 {
			t.Fatal("torn write log")
		}
		off, n := binary.LittleEndian.Uint64(b[1:]), binary.LittleEndian.Uint64(b[9:])
		op := Op{Name: "cryptsetup", Sync: b[0] == 'F', Off: int64(off)}
		if !op.Sync {
			op.Data = b[17 : 17+n]
		}
		ops, b = append(ops, op), b[17+n:]
	}
	return ops
}
