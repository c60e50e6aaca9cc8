package vm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sort"
)

// A WriteLog is what QEMU's blklogwrites driver recorded (the kernel's Documentation/
// admin-guide/device-mapper/log-writes.rst): every write and flush that the guest's
// kernel sent to the disk, in order.
type WriteLog struct {
	Entries []LogEntry
	file    *os.File
	sector  int64 // bytes
}

// A LogEntry is one request.
type LogEntry struct {
	Sector, Sectors uint64 // where, in sectors of the log
	Flush, FUA      bool   // what was written before is on the disk; this is
	Discard         bool

	data int64 // offset in the log
	size int64
}

const logMagic = 0x6a736677736872

// OpenWriteLog reads a log to its last whole entry. The superblock's count is of no
// use when QEMU was killed.
func OpenWriteLog(name string) (*WriteLog, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	l := &WriteLog{file: f}
	if err := l.read(); err != nil {
		f.Close()
		return nil, fmt.Errorf("reading the write log: %w", err)
	}
	return l, nil
}

// Close closes the log's file.
func (l *WriteLog) Close() error { return l.file.Close() }

func (l *WriteLog) read() error {
	var head [32]byte
	if _, err := l.file.ReadAt(head[:], 0); err != nil {
		return err
	}
	le := binary.LittleEndian
	l.sector = int64(le.Uint32(head[24:]))
	if le.Uint64(head[:]) != logMagic || l.sector < 512 || l.sector > 4096 {
		return errors.New("it is none")
	}
	st, err := l.file.Stat()
	if err != nil {
		return err
	}
	for at := l.sector; at+l.sector <= st.Size(); {
		if _, err := l.file.ReadAt(head[:], at); err != nil {
			return err
		}
		flags := le.Uint64(head[16:])
		e := LogEntry{Sector: le.Uint64(head[:]), Sectors: le.Uint64(head[8:]), Flush: flags&1 != 0, FUA: flags&2 != 0,
			Discard: flags&4 != 0, data: at + l.sector}
		if e.Sectors == 0 && flags == 0 || e.Sectors > uint64(st.Size()/l.sector) {
			break
		}
		if !e.Discard {
			e.size = int64(e.Sectors) * l.sector
		}
		if e.data+e.size > st.Size() {
			break
		}
		l.Entries = append(l.Entries, e)
		at = e.data + e.size
	}
	return nil
}

// Before returns how many of the entries the log held when it was size bytes long.
func (l *WriteLog) Before(size int64) int {
	return sort.Search(len(l.Entries), func(i int) bool { return l.Entries[i].data+l.Entries[i].size > size })
}

// Loss is what becomes of the writes that a disk with a volatile cache has accepted
// and not flushed when the power goes.
type Loss int

// Writes that survive while earlier ones do not are what reordering is.
const (
	Kept    Loss = iota // all of them reach the medium
	Lost                // none does
	Partly              // each does or does not
	Torn                // each of their sectors does or does not
	NumLoss = iota
)

func (m Loss) String() string {
	return [...]string{"kept", "lost", "reordered", "torn"}[m]
}

// Crash makes of an image as it was before the first entry what a disk with a
// volatile cache may hold when the power goes after the first n entries: everything
// up to the last flush, and of what follows what loss and rnd choose. It returns how
// many requests were lost, wholly or in part.
func (l *WriteLog) Crash(image io.WriterAt, n int, loss Loss, rnd *rand.Rand) (lost int, err error) {
	flushed := 0
	for i, e := range l.Entries[:n] {
		if e.Flush {
			flushed = i + 1
		}
	}
	for i, e := range l.Entries[:n] {
		if e.size == 0 {
			continue
		}
		p := make([]byte, e.size)
		if _, err := l.file.ReadAt(p, e.data); err != nil {
			return lost, err
		}
		step, whole := e.size, true
		if loss == Torn {
			step = l.sector
		}
		for at := int64(0); at < e.size; at += step {
			if i >= flushed && !e.FUA && loss != Kept && (loss == Lost || rnd.IntN(2) == 0) {
				whole = false
				continue
			}
			if _, err := image.WriteAt(p[at:min(at+step, e.size)], int64(e.Sector)*l.sector+at); err != nil {
				return lost, err
			}
		}
		if !whole {
			lost++
		}
	}
	return lost, nil
}
