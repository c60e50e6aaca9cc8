package unpack

// A window is what was decompressed last: the part that was not read yet, and the history
// that later data may refer to.
type window struct {
	buf  []byte
	read int // how much of buf the reader has got
	size int // how much history must be kept
}

// reset forgets the history. size is what is kept of the next. Memory is taken at once,
// so that nothing is copied to a larger place while both are held: the system backs it
// only as it fills. There are two sizes, and so at most two in a row.
func (w *window) reset(size int) {
	need := most(8 << 20)
	if size > 8<<20 {
		need = most(MaxWindow)
	}
	if cap(w.buf) < need {
		w.buf = make([]byte, 0, need)
	}
	w.buf, w.read, w.size = w.buf[:0], 0, size
}

// slack is what may stand beyond the history before it slides.
func slack(size int) int { return size/4 + 1<<20 }

// most is the most that a window holds: the largest chunk, one of xz, has 2 MiB.
func most(size int) int { return size + slack(size) + 2<<20 }

// take hands out what is there.
func (w *window) take(p []byte) int {
	n := copy(p, w.buf[w.read:])
	w.read += n
	return n
}

// slide makes room, once all was read.
func (w *window) slide() {
	if len(w.buf) > w.size+slack(w.size) {
		w.buf = w.buf[:copy(w.buf, w.buf[len(w.buf)-w.size:])]
		w.read = len(w.buf)
	}
}

// repeat adds n bytes that stand dist back. It says whether they are there.
func (w *window) repeat(dist, n int) bool {
	if dist < 1 || dist > len(w.buf) || dist > w.size {
		return false
	}
	for n > 0 { // what is added may repeat itself
		from := len(w.buf) - dist
		m := min(n, dist)
		w.buf = append(w.buf, w.buf[from:from+m]...)
		n -= m
	}
	return true
}
