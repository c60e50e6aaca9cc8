package tpmtest

import (
	"bytes"
	"io"
	"net"
	"sync"
)

// Proxy stands between a program and a TPM like a wire-tap on the bus: it passes
// every byte on and keeps a copy.
type Proxy struct {
	Socket string
	ln     net.Listener
	to     string
	mu     sync.Mutex
	trace  bytes.Buffer
}

// Tap starts a Proxy for s; give Proxy.Socket to tpm.Open.
func Tap(s *Sim) (*Proxy, error) {
	p := &Proxy{Socket: s.Socket + ".tap", to: s.Socket}
	ln, err := net.Listen("unix", p.Socket)
	if err != nil {
		return nil, err
	}
	p.ln = ln
	go p.serve()
	return p, nil
}

// serve takes one connection after the other, as the emulator does.
func (p *Proxy) serve() {
	for {
		c, err := p.ln.Accept()
		if err != nil {
			return
		}
		u, err := Dial(p.to)
		if err != nil {
			c.Close()
			continue
		}
		done := make(chan struct{})
		go func() { p.pump(u, c); u.(*net.UnixConn).CloseWrite(); close(done) }()
		p.pump(c, u)
		c.Close()
		<-done
		u.Close()
	}
}

func (p *Proxy) pump(dst io.Writer, src io.Reader) {
	b := make([]byte, 4096)
	for {
		n, err := src.Read(b)
		if n > 0 {
			p.mu.Lock()
			p.trace.Write(b[:n])
			p.mu.Unlock()
			if _, err := dst.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// Trace returns everything that has crossed so far, both directions.
func (p *Proxy) Trace() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Clone(p.trace.Bytes())
}

// Close ends the tap.
func (p *Proxy) Close() error { return p.ln.Close() }
