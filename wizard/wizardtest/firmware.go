package wizardtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"reown/wizard"
)

type firmware struct{ *World }

func (w *World) keyring() []byte {
	for _, b := range w.ROM[1:] {
		if !bytes.Equal(b, w.ROM[0]) {
			return nil
		}
	}
	return w.ROM[0]
}

func (w firmware) Info(context.Context) (wizard.FirmwareInfo, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := wizard.FirmwareInfo{Board: "Test board", Version: "1", Digest: w.pcr7()}
	if c, err := w.parse(w.keyring()); err == nil {
		i.Keyring, i.Certs = []string{c.Fprs[0]}, map[string][]byte{c.Fprs[0]: w.keyring()}
	}
	for _, block := range w.ROM {
		i.Torn = i.Torn || !bytes.Equal(block, w.ROM[0])
	}
	return i, w.read()
}

func (w firmware) Chips() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ChipIs != "" {
		return nil
	}
	return w.ChipMay
}

func (w firmware) Choose(chip string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Contains(w.ChipMay, chip) {
		return errors.New("wizardtest: no such chip")
	}
	w.ChipIs = chip
	return nil
}

func (w firmware) CheckSpace(context.Context, int) (wizard.FirmwareChange, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if f := w.Refuses["firmware"]; f != nil {
		return w.Change, f
	}
	if len(w.ChipMay) > 0 && w.ChipIs == "" {
		return w.Change, &wizard.Finding{Kind: wizard.ChipSeveral, Args: []any{strings.Join(w.ChipMay, ", ")},
			Err: errors.New("wizardtest: several chips")}
	}
	if w.Full {
		return w.Change, errors.New("wizardtest: no room in CBFS")
	}
	return w.Change, w.read()
}

func (w firmware) Plan(_ context.Context, cert []byte) (*wizard.FirmwarePlan, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := &wizard.FirmwarePlan{BlockSize: 4096, Free: 1 << 20, Private: slices.Clone(cert)}
	var all []string
	for _, b := range w.ROM {
		all = append(all, string(cert))
		if !bytes.Equal(b, cert) {
			p.ChangedBlocks++
		}
	}
	p.PCR7 = wizard.Measurement{"sha256": []byte(hash(all...))}
	p.Image = sha256.Sum256(cert)
	return p, w.read()
}

func (w firmware) Write(_ context.Context, p *wizard.FirmwarePlan, _ []byte, sign func([]byte) ([]byte, error),
	progress wizard.Progress) error {
	if _, err := sign([]byte("the old blocks")); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if f := w.Refuses["firmware"]; f != nil {
		return f
	}
	for i := range w.ROM {
		if err := w.write(fmt.Sprintf("flash.block.%d", i),
			func() { w.ROM[i] = slices.Clone(p.Private.([]byte)) }); err != nil {
			return err
		}
		if progress != nil {
			w.mu.Unlock()
			progress(int64(i+1), int64(len(w.ROM)))
			w.mu.Lock()
		}
	}
	return nil
}

func (w firmware) Holds(_ context.Context, cert []byte) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Equal(w.keyring(), cert), w.read()
}
