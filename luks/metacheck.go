package luks

import (
	"slices"
)

// check looks at what lies between objects.
func (m *meta) check() error {
	end := m.keyslotsStart()
	for _, a := range m.usedAreas() {
		if a.offset < end || a.offset%512 != 0 || a.size > m.keyslotsEnd() || a.offset+a.size > m.keyslotsEnd() {
			return badHeader("a keyslot's area (%d bytes at %d) overlaps another or leaves the keyslots area", a.size, a.offset)
		}
		end = a.offset + a.size
	}
	for _, d := range m.digests {
		for _, k := range d.keyslots {
			if m.keyslots[k] == nil {
				return badHeader("digest %d refers to keyslot %d, which is missing", d.id, k)
			}
		}
		for _, s := range d.segments {
			if s >= len(m.segments) {
				return badHeader("digest %d refers to segment %d, which is missing", d.id, s)
			}
		}
	}
	for n, t := range m.tokens {
		for _, k := range t.keyslots {
			if m.keyslots[k] == nil {
				return badHeader("token %d refers to keyslot %d, which is missing", n, k)
			}
		}
	}
	reencrypt := 0
	for _, k := range m.keyslots {
		if k.typ == slotReencrypt {
			reencrypt++
		}
	}
	if reencrypt > 1 {
		return badHeader("more than one re-encryption keyslot")
	}
	return m.checkSegments()
}

// bound checks what cryptsetup wants of a header at rest on the disk, and what an edit in
// work may not be yet: each passphrase keyslot belongs to one digest, there is data, and a
// re-encryption that is flagged is described.
func (m *meta) bound() error {
	for _, n := range m.passSlots() {
		in := 0
		for _, d := range m.digests {
			if slices.Contains(d.keyslots, n) {
				in++
			}
		}
		if in != 1 {
			return badHeader("keyslot %d belongs to %d digests", n, in)
		}
	}
	if len(m.segments) == 0 {
		return badHeader("no segments")
	}
	described := false
	for _, k := range m.keyslots {
		described = described || k.typ == slotReencrypt
	}
	if online := []string{reqReencrypt, reqReencryptV1, reqReencryptV3}; !described &&
		slices.ContainsFunc(m.requirements, func(r string) bool {
			return slices.Contains(online, r)
		}) {
		return badHeader("a re-encryption is flagged and not described")
	}
	return nil
}

func (m *meta) checkSegments() error {
	if m.otherMode() != nil { // these move data, and are not acted on
		return nil
	}
	reg := m.regular()
	for i, s := range reg {
		if s.id != i {
			return badHeader("a backup segment stands before segment %d", s.id)
		}
		if s.typ == "crypt" && len(m.digestsOf(s)) == 0 {
			return badHeader("segment %d has no digest", s.id)
		}
		if i == 0 {
			continue
		}
		p := reg[i-1]
		if p.size == dynamic || p.offset+p.size > s.offset {
			return badHeader("segments %d and %d overlap", p.id, s.id)
		}
	}
	return nil
}

func firstError(errs ...error) error {
	for _, e := range errs {
		if e != nil {
			return e
		}
	}
	return nil
}
