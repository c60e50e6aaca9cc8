package luks

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"reown/internal/secret"
)

// A log1 is the log of cryptsetup's LUKS1 re-encryption: up to which byte of the data
// it was when the log was written, which is at the start and when it ends by itself.
type log1 struct {
	uuid   string
	offset int64
}

const log1Size = 512

// parseLog1 reads a log. Only what cryptsetup writes for a forward re-encryption
// without a shift is accepted.
func parseLog1(b []byte) (log1, error) {
	bad := func(format string, a ...any) (log1, error) {
		return log1{}, fmt.Errorf("%w: the log: %s", ErrLUKS1Files, fmt.Sprintf(format, a...))
	}
	if len(b) != log1Size {
		return bad("%d bytes", len(b))
	}
	text, rest, _ := bytes.Cut(b, []byte{0})
	if !allZero(rest) {
		return bad("text after its end")
	}
	value := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		k, val, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " = ")
		if _, twice := value[k]; !ok || twice || !strings.HasSuffix(line, "\n") {
			return bad("line %q", line)
		}
		value[k] = val
	}
	if !bytes.HasSuffix(text, []byte("\n# EOF\n")) {
		return bad("it is cut off")
	}
	n := map[string]int64{}
	for _, k := range []string{"version", "direction", "mode", "offset", "shift"} {
		if _, ok := value[k]; !ok && k == "mode" && value["version"] == "1" {
			continue // version 1 knew one mode
		}
		var err error
		if n[k], err = strconv.ParseInt(value[k], 10, 63); err != nil || n[k] < 0 {
			return bad("%s is %q", k, value[k])
		}
	}
	l := log1{value["UUID"], n["offset"]}
	switch {
	case len(value) > 6 || n["version"] < 1 || n["version"] > 2 || l.uuid == "" || l.offset%512 != 0:
		return bad("not what cryptsetup writes")
	case n["direction"] != 0 || n["mode"] != 0 || n["shift"] != 0:
		return log1{}, unsupported("a LUKS1 re-encryption that moves data, encrypts or decrypts")
	}
	return l, nil
}

// uuidForm keeps a UUID from the disk from leading to another directory.
func uuidForm(uuid string) bool {
	return len(uuid) >= 1 && len(uuid) <= 40 && strings.Trim(uuid, "0123456789ABCDEFabcdef-") == ""
}

// files1 are the files of cryptsetup's LUKS1 re-encryption.
type files1 struct {
	log      log1
	org, new []byte // header backups: under the old key, and under the new one
}

func readFiles1(dir, uuid string) (*files1, error) {
	if !uuidForm(uuid) {
		return nil, badHeader("UUID %q", uuid)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	read := func(ext string) ([]byte, error) {
		name := "LUKS-" + uuid + ext
		f, err := root.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: there is no %s in %s", ErrLUKS1Files, name, dir)
		}
		if err != nil {
			return nil, err
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, maxBackup+1))
		if err == nil && len(b) > maxBackup {
			err = fmt.Errorf("%w: %s is larger than a header", ErrLUKS1Files, name)
		}
		return b, err
	}
	f := &files1{}
	text, err := read(".log")
	if err != nil {
		return nil, err
	}
	if f.log, err = parseLog1(text); err != nil {
		return nil, err
	}
	if f.log.uuid != uuid {
		return nil, fmt.Errorf("%w: the log is of volume %q", ErrLUKS1Files, f.log.uuid)
	}
	if f.org, err = read(".org"); err != nil {
		return nil, err
	}
	f.new, err = read(".new")
	return f, err
}

// header1 opens one of the header files over the data of v, read-only.
func (v *Volume) header1(raw []byte, what string) (*Volume, error) {
	l, err := load(backupDevice(raw))
	if err != nil {
		return nil, fmt.Errorf("%w: the %s header: %w", ErrLUKS1Files, what, err)
	}
	if l.hdr.v1 == nil || l.hdr.uuid != v.h.uuid || l.hdr.v1.payload() != v.h.v1.payload() {
		return nil, fmt.Errorf("%w: the %s header is of another version, UUID or data offset", ErrLUKS1Files, what)
	}
	return &Volume{hdr: backupDevice(raw), data: v.data, readOnly: true, noLocks: true, free: v.free, account: v.account,
		h: l.hdr, state: l}, nil
}

// rescueLog goes on with what cryptsetup's LUKS1 re-encryption left, with the files
// beside which it ran: they have the new volume key. The position in the log is only a
// lower limit, because it is written at the start and at an orderly end; the position is
// looked for in the data like that of an unprotected run. Other than there, writes went
// through the page cache, so that after a power failure any of them may be missing, as
// far back as the data goes. If both keys and the position are proven, the device gets a
// LUKS2 header that says all of it; that is the last sector to be written, and from then
// on it is a protected run, and the files are not needed any more.
func (v *Volume) rescueLog(ctx context.Context, pass *secret.Buffer, o RescueOptions) (Rescue, error) {
	if o.AcceptLoss != "" {
		return Rescue{}, unsupported("a stretch in doubt on LUKS1")
	}
	unlock, err := v.lockReencryption(ctx)
	if err != nil {
		return Rescue{}, err
	}
	defer unlock()
	if err := v.load(); err != nil {
		return Rescue{}, err
	}
	if v.detached || v.h.v1.payload() == 0 {
		return Rescue{}, unsupported("an interrupted LUKS1 re-encryption with a detached header")
	}
	files, err := readFiles1(o.LogDir, v.h.uuid)
	if err != nil {
		return Rescue{}, err
	}
	x, err := v.headers1(ctx, files, pass)
	if err != nil {
		return Rescue{}, err
	}
	defer x.keys.wipe()
	prev, final := *x.before.h.meta.segments0(), *x.after.h.meta.segments0()
	r := &reencryption{prev: &prev, final: &final, total: v.segmentSize(&prev)}
	if r.total <= 0 || r.total%512 != 0 || files.log.offset > r.total {
		return Rescue{}, fmt.Errorf("%w: %d bytes of data, byte %d in the log", ErrLUKS1Files, r.total, files.log.offset)
	}
	s, err := v.newSearch(ctx, r, x.keys, o)
	if err != nil {
		return Rescue{}, err
	}
	defer s.wipe()
	s.unit, s.around, s.small = 512, r.total, 512
	found, err := s.positionAfter(ctx, files.log.offset)
	if err != nil || o.DryRun {
		return found, err
	}
	w, err := v.luks2From(ctx, s, x, found)
	if err != nil {
		return found, err
	}
	if err := w.proveBoth(ctx, pass, x.keys); err != nil {
		return found, err
	}
	if err := w.write(ctx); err != nil {
		return found, err
	}
	return found, v.load()
}

// positionAfter is position where a log says that the data before done is new, which counts if the power
// stayed on.
func (s *search) positionAfter(ctx context.Context, done int64) (Rescue, error) {
	if s.o.InOrder {
		s.atLeast = done
	}
	found, err := s.position(ctx)
	switch {
	case errors.Is(err, ErrUnproven):
		return found, fmt.Errorf("%w: %v", ErrUnproven1, err)
	case err == nil && s.o.InOrder && found.Position < done:
		return found, fmt.Errorf("%w: the log says that %d bytes are done, the data from byte %d on says that it is not",
			ErrUnproven1, done, found.Position)
	}
	return found, err
}

// headers1 are the headers in the files of cryptsetup's LUKS1 re-encryption, opened.
type headers1 struct {
	before, after *Volume
	keys          *keyPair
}

func (v *Volume) headers1(ctx context.Context, files *files1, pass *secret.Buffer) (*headers1, error) {
	x := &headers1{}
	var err error
	if x.before, err = v.header1(files.org, "old"); err != nil {
		return nil, err
	}
	// Only the sector that decides is compared: an interrupted attempt of ours may have
	// overwritten the others.
	if !bytes.Equal(x.before.h.v1.raw[:split1], v.h.v1.raw[:split1]) {
		return nil, fmt.Errorf("%w: the old header is not the one on the device", ErrLUKS1Files)
	}
	if x.after, err = v.header1(files.new, "new"); err != nil {
		return nil, err
	}
	k := &keyPair{}
	if k.newSlot, k.new, err = x.after.openAny(ctx, pass); err != nil {
		return nil, fmt.Errorf("the new volume key: %w", err)
	}
	if k.oldSlot, k.old, err = x.before.openAny(ctx, pass); err != nil {
		k.wipe()
		return nil, oldKeyError(err)
	}
	if k.old.Equal(k.new) {
		k.wipe()
		return nil, unsupported("a LUKS1 re-encryption under the same key")
	}
	x.keys = k
	return x, nil
}

// proveBoth opens both keyslots that were written, from the device.
func (w *upgrade) proveBoth(ctx context.Context, pass *secret.Buffer, keys *keyPair) error {
	for slot, want := range map[int]*secret.Buffer{w.old: keys.old, w.new: keys.new} {
		got, err := w.openSlot(ctx, slot, pass)
		if err == nil && !got.Equal(want) {
			err = errors.New("it holds another key")
		}
		got.Wipe()
		if err != nil {
			return fmt.Errorf("keyslot %d was written and does not open: %w", slot, err)
		}
	}
	return nil
}

// openAny opens any keyslot of the volume key.
func (v *Volume) openAny(ctx context.Context, pass *secret.Buffer) (int, *secret.Buffer, error) {
	d, err := v.h.meta.dataDigest()
	if err != nil {
		return -1, nil, err
	}
	return v.find(ctx, pass, v.h.meta.slotsOf(d))
}

// An upgrade is a LUKS2 header in the making, on a device that has none yet.
type upgrade struct {
	*Volume
	old, new int // keyslots
}

// luks2From makes the LUKS2 header for a LUKS1 volume between two keys, and writes
// what it refers to, durably: key material, which does not depend on its place, and
// checksums.
func (v *Volume) luks2From(ctx context.Context, s *search, x *headers1, found Rescue) (*upgrade, error) {
	before, after, oldSlot, oldKey, newKey := x.before, x.after, x.keys.oldSlot, x.keys.old, x.keys.new
	limit := roundDown(v.h.v1.payload()-header2Room, 4096)
	root := before.h.root.clone()
	slots := newObject()
	root.set("keyslots", slots)
	root.obj("config").set("json_size", dec(minHeaderSize-binHeaderSize)).set("keyslots_size", dec(max(0, limit)))
	root.obj("digests").obj("0").set("keyslots", strs(id(oldSlot)))
	h := &header2{bin: make([]byte, binHeaderSize), size: minHeaderSize, seqid: 1, uuid: v.h.uuid, root: root}
	binary.BigEndian.PutUint16(h.bin[6:], 2)
	copy(h.bin[72:104], "sha256")
	copy(h.bin[168:208], v.h.uuid)
	copy(h.bin[split1:phdrSize], v.h.v1.raw[split1:])
	w := &upgrade{&Volume{path: v.path, hdr: v.hdr, data: v.data, noLocks: v.noLocks, free: v.free, account: v.account,
		h: h}, oldSlot, 0}
	if oldSlot == 0 {
		w.new = 1
	}
	at := int64(header2Room)
	for _, c := range []struct {
		from     *Volume
		slot, to int
	}{{before, oldSlot, w.old}, {after, x.keys.newSlot, w.new}} {
		k := c.from.h.meta.keyslots[c.slot]
		size := stride1(k.keySize)
		if at+size > header2Room+limit {
			return nil, fmt.Errorf("%w: %d bytes before the data", ErrNoSpace, v.h.v1.payload())
		}
		material := make([]byte, afSize(k.keySize, k.af.stripes))
		if err := c.from.hdr.ReadAt(material, k.area.offset); err != nil {
			return nil, err
		}
		if err := v.hdr.WriteAt(WriteKeyslot, material, at); err != nil {
			return nil, err
		}
		o := c.from.h.root.obj("keyslots").obj(id(c.slot)).clone()
		o.obj("area").set("offset", dec(at)).set("size", dec(size))
		slots.set(id(c.to), o)
		at += size
	}
	var err error
	if h.meta, err = readMeta(root, h.size); err != nil {
		return nil, err
	}
	s.r.oldDigest = h.meta.digests[0]
	s.r.prev.id = 0
	if err := w.describe(ctx, root, s.r, w.new, &keyPair{old: oldKey, new: newKey}, Checksum, true); err != nil {
		return nil, err
	}
	if h.meta, err = readMeta(root, h.size); err != nil {
		return nil, err
	}
	s.r.refresh(h.meta)
	// The digest in the file is as good, and what LUKS1 could go back to.
	d := after.h.root.obj("digests").obj("0").clone()
	root.obj("digests").set(id(s.r.newDigest.id), d.set("keyslots", strs(id(w.new))).set("segments", &list{}))
	if err := w.enter(ctx, root, s, found, oldKey, newKey); err != nil {
		return nil, err
	}
	if h.meta, err = readMeta(root, h.size); err != nil {
		return nil, err
	}
	// What is written is what can be read, and says what was found.
	r, err := w.reencryption()
	if err != nil {
		return nil, err
	}
	if r == nil || r.offset+r.length != found.Position+found.Mixed || r.total != found.Total {
		return nil, fmt.Errorf("%w: the header made of them says something else", ErrLUKS1Files)
	}
	if err := w.verifyMetadata(ctx, r, oldKey, newKey); err != nil {
		return nil, err
	}
	return w, v.hdr.Sync(WriteKeyslot)
}

// write makes the header the device's: the copy, the rest of the primary, and last
// the sector that decides.
func (w *upgrade) write(ctx context.Context) error {
	primary, err := w.h.encode(0)
	if err != nil {
		return err
	}
	secondary, err := w.h.encode(w.h.size)
	if err != nil {
		return err
	}
	unlock, err := w.lockHeader(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := w.writeHeader(WriteConvert, secondary, w.h.size); err != nil {
		return err
	}
	if err := w.writeHeader(WriteConvert, primary[split1:], split1); err != nil {
		return err
	}
	return w.writeHeader(WriteConvert, primary[:split1], 0)
}
