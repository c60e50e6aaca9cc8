package lukstest

import (
	"encoding/binary"
	"os"
	"os/exec"
	"strconv"
	"testing"
)

// wlogSource is a library that, preloaded into a program, appends every write and
// flush of the files $WLOG_IMG0 and $WLOG_IMG1 to the file $WLOG_OUT: a letter, the
// file's number, offset and length (64-bit little-endian), the data.
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
	const char *img0 = getenv("WLOG_IMG0"), *img1 = getenv("WLOG_IMG1"), *out = getenv("WLOG_OUT");
	ssize_t n;

	if (logfd == -2)
		logfd = out ? syscall(SYS_openat, AT_FDCWD, out, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
	if (logfd < 0)
		return 0;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return 0;
	path[n] = 0;
	if (img0 && !strcmp(path, img0))
		return 1;
	return img1 && !strcmp(path, img1) ? 2 : 0;
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

static void record(char type, int file, uint64_t off, uint64_t len, const void *data)
{
	char head[18];

	head[0] = type;
	head[1] = file - 1;
	memcpy(head + 2, &off, 8);
	memcpy(head + 10, &len, 8);
	put(head, sizeof(head));
	put(data, len);
}

ssize_t write(int fd, const void *p, size_t n)
{
	int mine = ours(fd);
	off_t at = mine ? syscall(SYS_lseek, fd, 0, SEEK_CUR) : 0;
	ssize_t r = syscall(SYS_write, fd, p, n);

	if (mine && r > 0)
		record('W', mine, at, r, p);
	return r;
}

ssize_t pwrite64(int fd, const void *p, size_t n, off_t at)
{
	int mine = ours(fd);
	ssize_t r = syscall(SYS_pwrite64, fd, p, n, at);

	if (mine && r > 0)
		record('W', mine, at, r, p);
	return r;
}

int fsync(int fd)
{
	int mine = ours(fd), r = syscall(SYS_fsync, fd);

	if (mine)
		record('F', mine, 0, 0, "");
	return r;
}

int fdatasync(int fd)
{
	int mine = ours(fd), r = syscall(SYS_fdatasync, fd);

	if (mine)
		record('F', mine, 0, 0, "");
	return r;
}
`

// Recorded runs cryptsetup and returns what it wrote to the files imgs (one or two).
// Offsets count from the first one's start, as if bases[i] were where each begins.
func (p *Peer) Recorded(imgs []string, bases []int64, args ...string) []Op {
	p.t.Helper()
	lib := wlogLibrary(p.t, p.Dir)
	out := p.Path("wlog")
	os.Remove(out)
	cmd := exec.Command("cryptsetup", args...)
	cmd.Dir = p.Dir
	cmd.Env = append(os.Environ(), "LD_PRELOAD="+lib, "WLOG_OUT="+out)
	for i, img := range imgs {
		cmd.Env = append(cmd.Env, "WLOG_IMG"+strconv.Itoa(i)+"="+img)
	}
	if text, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("cryptsetup %q: %v: %s", args, err, text)
	}
	return parseWlog(p.t, p.Read("wlog"), bases)
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

func parseWlog(t testing.TB, b []byte, bases []int64) []Op {
	var ops []Op
	for len(b) > 0 {
		if len(b) < 18 {
			t.Fatal("torn write log")
		}
		off, n := binary.LittleEndian.Uint64(b[2:]), binary.LittleEndian.Uint64(b[10:])
		op := Op{Name: "cryptsetup", Sync: b[0] == 'F', Dev: int(b[1]), Off: bases[b[1]] + int64(off)}
		if !op.Sync {
			op.Data = b[18 : 18+n]
		}
		ops, b = append(ops, op), b[18+n:]
	}
	return ops
}
