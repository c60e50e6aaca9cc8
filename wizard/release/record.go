package release

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Record says what was done to the laptop. Times are UTC.
type Record struct {
	Type     string   `json:"type"`
	Time     string   `json:"time"`
	Board    string   `json:"board"`
	Owner    string   `json:"owner"` // fingerprint; "" when the card was lost
	To       string   `json:"to"`    // fingerprint; "" for nobody
	Disks    []Erased `json:"disks"`
	Missing  []string `json:"missing,omitempty"` // UUIDs of volumes that it had, and that were not erased
	TPM      string   `json:"tpm"`               // its maker; "" when there is none
	Firmware string   `json:"firmware"`          // SHA-256 of the whole chip after the run
	Card     string   `json:"card"`              // serial number; "" when it was lost
	Remains  []string `json:"remains"`           // what this cannot take back
}

// Erased is a volume whose keyslots were destroyed.
type Erased struct {
	Model  string `json:"model"`
	Serial string `json:"serial"`
	UUID   string `json:"uuid"`
}

// RecordType marks a record's first version.
const RecordType = "reown release 1"

// remains is what no program on the laptop can take back.
func (r *run) remains() []string {
	list := []string{
		"the computer and its TPM keep their identity (serial numbers, endorsement key)",
		"copies of the header or backups outside this computer still open with their passphrases, and only they hold the volume key",
	}
	if r.o.LostCard {
		list = append(list, "the security key was not there: it keeps its keys and PINs, and nobody has proven to be the owner")
	}
	if r.early {
		list = append(list, "the firmware trusted no key any more when this run began: it could not be asked whether the key that signs this was the owner's")
	}
	if len(r.m.Disks) == 0 {
		list = append(list, "no encrypted disk was found, and none was erased")
	}
	for _, d := range r.m.Doubtful {
		list = append(list, d.Path+" may hold an encrypted disk, and was left as it is")
	}
	for _, u := range r.gone {
		list = append(list, "the encrypted disk "+u+" was not there: whatever opened it opens it still")
	}
	return list
}

// record writes what was done, signed as long as the card has its keys.
func (r *run) record(ctx context.Context) error {
	if r.cert == nil && !r.o.LostCard {
		return nil // there is one: see prove
	}
	rec := Record{Type: RecordType, Time: r.m.Platform.Now().UTC().Format(time.RFC3339), Board: r.m.Platform.Board(),
		To: r.o.To, Remains: r.remains(), Disks: []Erased{}, Missing: r.gone}
	if r.cert != nil {
		rec.Owner, rec.Card = r.owner, r.card.Serial
	}
	for _, d := range r.m.Disks {
		i, err := d.Info(ctx)
		if err != nil {
			return err
		}
		rec.Disks = append(rec.Disks, Erased{Model: i.Model, Serial: i.Serial, UUID: i.UUID})
	}
	if r.m.TPM != nil {
		i, err := r.m.TPM.Info(ctx)
		if err != nil {
			return err
		}
		rec.TPM = i.Vendor
	}
	fw, err := r.m.Firmware.Info(ctx)
	if err != nil {
		return err
	}
	rec.Firmware = fw.Digest
	if err := r.left(ctx); err != nil {
		return err
	}
	data, err := json.MarshalIndent(rec, "", "  ")
	if err != nil {
		return err
	}
	data = append(data, '\n')
	if err := r.m.Boot.Publish(ctx, RecordName, data); err != nil || r.cert == nil {
		return err
	}
	sig, err := r.m.Card.Sign(ctx, r.cert, r.o.PIN, data)
	if err != nil {
		return err
	}
	return r.m.Boot.Publish(ctx, SignatureName, sig)
}

// signed returns the record that an earlier run left, if the key beside it made its
// signature, and the fingerprints of that certificate's keys.
func (r *run) signed(ctx context.Context) (record []byte, keys []string, err error) {
	var file [3][]byte
	for i, name := range []string{RecordName, SignatureName, KeyName} {
		if file[i], err = r.m.Boot.ReadPublished(ctx, name); err != nil {
			return nil, nil, err
		}
	}
	if err := r.m.PGP.Verify(file[2], file[0], file[1]); err != nil {
		return nil, nil, err
	}
	keys, err = r.m.PGP.Keys(file[2])
	return file[0], keys, err
}

// measure reads everything afresh and returns the record.
func (r *run) measure(ctx context.Context) (*Record, error) {
	if err := r.left(ctx); err != nil {
		return nil, err
	}
	var data []byte
	var err error
	if r.o.LostCard {
		data, err = r.m.Boot.ReadPublished(ctx, RecordName)
	} else {
		i, cerr := r.m.Card.Info(ctx)
		if cerr != nil {
			return nil, cerr
		}
		if i.Terminated || i.Fingerprints != [3]string{} {
			return nil, fmt.Errorf("%w: the security key", ErrNotReleased)
		}
		data, _, err = r.signed(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the record again: %w", err)
	}
	rec := &Record{}
	return rec, json.Unmarshal(data, rec)
}
