package unpack

// A window is what was decompressed last: the part that was not read yet, and the history
// that later data may refer to.
type window struct {
	buf  []byte
	read int // how much of buf the reader has got
	size int // how much history must be kept
}

// reset forgets the history. size is what is kept of the next.
func (w *window) reset(size int) { w.buf, w.read, w.size = w.buf[:0], 0, size }

// take hands out what is there.
func (w *window) take(p []byte) int {
	n := copy(p, w.buf[w.read:])
	w.read += n
	return n
}

// slide makes room, once all was read.
func (w *window) slide() {
	if len(w.buf) > w.size+w.size/4+1<<20 {
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
