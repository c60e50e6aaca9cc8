package wizardtest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"reown/internal/secret"
	"reown/wizard"
)

type duk struct{ *World }

func (w *World) dukPossible(pcr7 string) error {
	switch {
	case w.dead:
		return ErrCut
	case w.Modules:
		return wizard.ErrLeftToFirmware
	case w.OwnName:
		return fmt.Errorf("%w: %w", wizard.ErrLeftToFirmware, wizard.ErrOwnName)
	case w.sealsLater(pcr7):
		return wizard.ErrSealImpossible
	}
	return nil
}

func (w *World) volumes(uuids []string) (all []*Volume) {
	for _, v := range w.Disks {
		if slices.Contains(uuids, v.UUID) {
			all = append(all, v)
		}
	}
	return all
}

// headers stands for the hash of the volumes' headers: any change to one shows.
func (w *World) headers(uuids []string) string {
	var all []string
	for _, v := range w.volumes(uuids) {
		all = append(all, fmt.Sprint(v.UUID, v.Slots, v.DUK, v.Key, v.NewKey))
	}
	return hash(all...)
}

func (w duk) Possible(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dukPossible("")
}

func (w duk) State(_ context.Context, uuids []string, pcr7 wizard.Measurement) (wizard.DUKState, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := wizard.DUKState{Present: w.DUKObject != nil, Rests: w.DUKObject != nil,
		Unknown: w.dukPossible(string(pcr7["sha256"]))}
	for _, v := range w.volumes(uuids) {
		s.Present = s.Present && v.DUK != ""
		s.Rests = s.Rests || v.DUK != ""
	}
	if s.Unknown == nil && s.Present {
		o := w.DUKObject
		s.Sealed = o.PCR7 == string(pcr7["sha256"]) && o.Headers == w.headers(uuids) && o.Primary == w.Primary
	}
	return s, w.read()
}

func (w duk) Set(_ context.Context, uuids []string, disk, owner, pass *secret.Buffer, pcr7 wizard.Measurement) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.dukPossible(string(pcr7["sha256"])); err != nil {
		return err
	}
	if pass.Len() < 12 || pass.Len() > 32 {
		return errors.New("wizardtest: Heads takes 12 to 32 bytes")
	}
	if string(owner.Bytes()) != w.Owner {
		return fmt.Errorf("duk: %w", wizard.ErrWrongSecret)
	}
	key := w.name("duk")
	for _, v := range w.volumes(uuids) {
		if !slices.Contains(v.Slots, string(disk.Bytes())) {
			return fmt.Errorf("duk: %w", wizard.ErrWrongSecret)
		}
		if err := w.write("duk.killslot", func() { v.DUK = "" }); err != nil {
			return err
		}
		if err := w.write("duk.addslot", func() { v.DUK = key }); err != nil {
			return err
		}
	}
	return w.write("duk.seal", func() {
		w.DUKObject = &DUKObject{Key: key, Pass: string(pass.Bytes()), PCR7: string(pcr7["sha256"]),
			Headers: w.headers(uuids), Primary: w.Primary}
	})
}

func (w duk) Remove(_ context.Context, uuids []string, disk, owner *secret.Buffer) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if string(owner.Bytes()) != w.Owner {
		return fmt.Errorf("duk: %w", wizard.ErrWrongSecret)
	}
	for _, v := range w.volumes(uuids) {
		if !slices.Contains(v.Slots, string(disk.Bytes())) {
			return fmt.Errorf("duk: %w", wizard.ErrWrongSecret)
		}
		if err := w.write("duk.killslot", func() { v.DUK = "" }); err != nil {
			return err
		}
	}
	return w.write("duk.forget", func() { w.DUKObject = nil })
}

func (w duk) Files(_ context.Context, uuids []string) (map[string][]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dukFiles(uuids), w.read()
}

func (w *World) dukFiles(uuids []string) map[string][]byte {
	return map[string][]byte{"kexec_lukshdr_hash.txt": []byte(w.headers(uuids))}
}

// ownedDUK says what is wrong with the disk unlock key, if anything. There need not be
// one.
func (w *World) ownedDUK(seen []string) error {
	var with []string
	for _, v := range w.Disks {
		if v.DUK != "" {
			with = append(with, v.UUID)
		}
	}
	o := w.DUKObject
	switch {
	case o == nil && len(with) == 0 && w.Set.DUK == "":
		return nil
	case o == nil || len(with) == 0 || w.Set.DUK == "":
		return fmt.Errorf("half a disk unlock key: object %v, volumes %v, /boot %q", o != nil, with, w.Set.DUK)
	case o.PCR7 != w.pcr7() || o.Primary != w.Primary || o.Headers != w.headers(with):
		return errors.New("the TPM will not give the disk unlock key at the next start")
	case w.Set.DUK != fmt.Sprint(w.dukFiles(with)):
		return errors.New("/boot names other disk headers")
	case !slices.Contains(seen, o.Pass):
		return errors.New("nobody knows the passphrase of the disk unlock key")
	}
	for _, v := range w.Disks {
		if v.DUK != "" && v.DUK != o.Key {
			return fmt.Errorf("volume %s has another disk unlock key than the TPM", v.UUID)
		}
	}
	return nil
}
