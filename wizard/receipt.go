package wizard

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"reown/internal/secret"
)

// Receipt is the owner's own note of where the run began, signed by the owner's
// card so that nobody else can write one. It is what lets a later start tell
// "already done" from "not yet": a value that differs from the one before, or
// equals the one that was reached.
type Receipt struct {
	Type string `json:"type"` // receiptType
	Run  string `json:"run"`  // 32 hex digits that the run has chosen for itself
	// of the signature under this, as the card counts; 0: it does not count
	Number    uint32   `json:"number,omitempty"`
	Card      string   `json:"card"`                // serial number of that card
	Closing   bool     `json:"closing,omitempty"`   // the last one: nothing is owed any more but to remove the trigger
	Releasing bool     `json:"releasing,omitempty"` // of no run: the owner is giving the laptop up
	EK        string   `json:"ek,omitempty"`        // SHA-256 of the TPM's endorsement key
	Disks     []string `json:"disks"`               // UUIDs of all containers that were there
	Started   string   `json:"started"`
	Language  string   `json:"language,omitempty"`
	Layout    string   `json:"layout,omitempty"`
	Order     string   `json:"order,omitempty"` // of the seller's statement, with the next three
	Seller    string   `json:"seller,omitempty"`
	SellerKey string   `json:"sellerKey,omitempty"`
	Statement string   `json:"statement,omitempty"` // its SHA-256
	// SHA-256 of what the chip's key had signed in /boot when the run began
	Set       string   `json:"set,omitempty"`
	Gone      []string `json:"gone,omitempty"`      // names in /boot that no firmware reads: shown, and removed
	Volumes   []Rekey  `json:"volumes"`             // those that take part
	DUK       bool     `json:"duk,omitempty"`       // the owner wants a disk unlock key
	Clearing  bool     `json:"clearing,omitempty"`  // the TPM is about to be cleared
	SRK       string   `json:"srk,omitempty"`       // name of the storage root that our TPM reset made
	OldSRK    string   `json:"oldSrk,omitempty"`    // and the one before
	BootFor   string   `json:"bootFor,omitempty"`   // what the staged /boot belongs to, see bootKey
	Entry     int      `json:"entry,omitempty"`     // boot entry that starts by default, from 1
	EntryName string   `json:"entryName,omitempty"` // what the menu called it
	Backup    Backup   `json:"backup,omitempty"`    // where else the keys are
	Spare     string   `json:"spare,omitempty"`     // serial number of the second security key
	HOTPFor   string   `json:"hotpFor,omitempty"`   // image whose digest the token was given, without a TPM
	Alone     []string `json:"alone,omitempty"`     // devices that nobody can tell what they are, left as they are
	// the key that came with the machine signed by the key that the chip trusted
	Signs  bool `json:"signs,omitempty"`
	Proven bool `json:"proven,omitempty"` // all that the statement says was equal when the run began
}

const receiptType = "reown/receipt/v2"

// errNotSigned says that a document is not signed by the key that it is read by.
var errNotSigned = errors.New("it is signed by another key")

// maxReceipt bounds the file, in bytes.
const maxReceipt = 64 << 10

// signed joins a document of one line and its detached signature in one file, so that they are
// replaced together.
func signed(doc, sig []byte) []byte {
	out := append(bytes.TrimRight(doc, "\n"), '\n')
	return append(out, sig...)
}

// splitSigned undoes signed: the document is the first line. JSON has no line break inside, whatever
// a name in it holds; any other mark could stand in a name.
func splitSigned(file []byte) (doc, sig []byte, err error) {
	i := bytes.IndexByte(file, '\n')
	if i < 0 || len(file) > maxReceipt {
		return nil, nil, fmt.Errorf("the file is no signed document of ours")
	}
	return file[:i+1], file[i+1:], nil
}

// NoteRelease says in the receipt that the owner gives the laptop up, in the place of whatever run it
// was of. By the card's count it is the newest; it counts once the TPM is clear. It names no TPM, whose
// keys go, but the disks.
func NoteRelease(ctx context.Context, m *Machine, cert []byte, userPIN *secret.Buffer) error {
	r := &Receipt{Run: newRun(), Releasing: true, Started: m.Platform.Now().UTC().Format(time.RFC3339)}
	for _, d := range m.Disks {
		i, err := d.Info(ctx)
		if err != nil {
			return err
		}
		r.Disks = append(r.Disks, i.UUID)
	}
	if err := m.Boot.WriteHint(ctx, hintCert, cert); err != nil {
		return fmt.Errorf("storing the certificate: %w", err)
	}
	_, err := writeReceipt(ctx, m, cert, userPIN, r)
	return err
}

// Forget removes from /boot what a run of another owner has left there, before the first thing is made
// somebody else's: a receipt must not outlive what it is about.
func Forget(ctx context.Context, m *Machine) error {
	for _, name := range []string{hintReceipt, hintCertificate, hintCertificate + ".asc", hintText, hintText + ".asc",
		hintCert} {
		if _, err := m.Boot.ReadHint(ctx, name); errors.Is(err, ErrNotFound) {
			continue
		}
		if err := m.Boot.RemoveHint(ctx, name); err != nil {
			return fmt.Errorf("removing what an earlier owner has left: %w", err)
		}
	}
	return nil
}

// IsReceipt says whether a file is a receipt, and not something else that its owner
// has signed, by the signatures that verify accepts.
func IsReceipt(file []byte, verify func(doc, sig []byte) error) bool {
	_, err := openReceipt(file, verify)
	return err == nil
}

func openReceipt(file []byte, verify func(doc, sig []byte) error) (*Receipt, error) {
	doc, sig, err := splitSigned(file)
	if err != nil {
		return nil, fmt.Errorf("reading the receipt: %w", err)
	}
	if err := verify(doc, sig); err != nil {
		return nil, fmt.Errorf("verifying the receipt: %w: %w", errNotSigned, err)
	}
	var r Receipt
	if err := json.Unmarshal(doc, &r); err != nil {
		return nil, fmt.Errorf("reading the receipt: %w", err)
	}
	if r.Type != receiptType {
		return nil, fmt.Errorf("reading the receipt: unknown type %q", r.Type)
	}
	return &r, nil
}

// writeReceipt has a receipt signed and stored, and returns the file.
func writeReceipt(ctx context.Context, m *Machine, cert []byte, userPIN *secret.Buffer, r *Receipt) ([]byte, error) {
	r.Type = receiptType
	file, err := signReceipt(ctx, m.Card, cert, userPIN, r, func(r *Receipt) ([]byte, error) {
		doc, err := json.Marshal(r)
		return append(doc, '\n'), err
	})
	if err != nil {
		return nil, fmt.Errorf("signing the receipt: %w", err)
	}
	if err := m.Boot.WriteHint(ctx, hintReceipt, file); err != nil {
		return nil, fmt.Errorf("writing the receipt: %w", err)
	}
	return file, nil
}
