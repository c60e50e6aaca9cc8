package wizard

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"reown/internal/secret"
)

// Backup says where else than in the security key its keys are kept.
type Backup string

// The kinds of backup.
const (
	NoBackup    Backup = ""      // the keys are made inside the security key and exist nowhere else
	StickBackup Backup = "stick" // in a file on a USB stick, protected by a passphrase
	SpareBackup Backup = "card"  // in a second security key
)

// KeySet is a certificate with its secret keys in locked memory: keys that are
// given to more than one place.
type KeySet interface {
	// Certificate is the OpenPGP certificate, binary, without the secret keys.
	Certificate() []byte
	// Export is the whole set protected by a passphrase, in the form that gpg
	// --import takes.
	Export(passphrase *secret.Buffer) ([]byte, error)
	// Wipe clears the secret keys.
	Wipe()
}

// Sticks are the USB sticks that are plugged in.
type Sticks interface {
	// List names the file systems on sticks that can be written; none is no error.
	List(ctx context.Context) ([]Stick, error)
	// Write puts files into the root of the file system with this ID, each
	// replaced as a whole, reads them back from the medium and compares. When it
	// returns, the stick may be pulled out. ErrNoStick when it is not there.
	Write(ctx context.Context, id string, files []File) error
}

// Stick is a file system on a USB stick.
type Stick struct {
	ID    string // names it for Write, as long as it stays plugged in
	Model string // vendor and model, as the stick says
	Size  int64  // bytes
	FS    string // "vfat"
}

// ErrNoStick says that a USB stick is not there any more.
var ErrNoStick = errors.New("the USB stick is not plugged in")

// ErrSeveralCards says that it cannot be told which of two security keys is meant.
var ErrSeveralCards = errors.New("more than one security key is plugged in")

// ErrOtherKeys says that a card which was given keys shows others.
var ErrOtherKeys = errors.New("the security key does not hold the keys that it was given")

// copies is how far the making of a backup is. It lives as long as the run waits
// for the security keys, and is wiped as soon as the last of them has its keys.
type copies struct {
	set   KeySet
	stick bool   // the stick has been written
	main  string // serial number of the security key
	spare string // serial number of the second one, "" until it was seen
	done  bool   // the second one has its keys

	algorithms []string // of the first one
	found      CardInfo // the second one, which the person may still exchange
}

func (c *copies) wipe() {
	if c.set != nil {
		c.set.Wipe()
	}
	*c = copies{}
}

// backupFiles are what a stick gets: the names tell the security key, so that
// sticks may be shared between laptops and a run that is repeated leaves one file.
func backupFiles(serial string, key, cert []byte) []File {
	return []File{{"reown-" + serial + "-secret-key.asc", key}, {"reown-" + serial + "-public-key.gpg", cert}}
}

// newKeysWithBackup makes the keys in memory, gives them to the backup first and to
// the security key last, so that nothing of the machine has changed while the
// backup can still fail, and a certificate in /boot means that both are there.
func newKeysWithBackup(ctx context.Context, j *Job) ([]byte, error) {
	c := &j.copies
	if c.main == "" { // otherwise the second one may be in the reader now
		info, err := j.sellersCard(ctx)
		if err != nil {
			return nil, err
		}
		c.main, c.algorithms = info.Serial, info.Algorithms
	}
	if j.Choice.Backup == SpareBackup && c.spare == "" {
		return nil, &waitError{WaitSpare}
	}
	if c.set == nil {
		if err := j.makeSet(ctx); err != nil {
			return nil, err
		}
	}
	cert := c.set.Certificate()
	switch {
	case j.Choice.Backup == StickBackup && !c.stick:
		if err := j.writeStick(ctx, cert); errors.Is(err, ErrNoStick) {
			return nil, &waitError{WaitStick}
		} else if err != nil {
			j.Choice.Stick = "" // asked again
			return nil, fmt.Errorf("writing the backup: %w", err)
		}
		c.stick = true
	case j.Choice.Backup == SpareBackup && !c.done:
		if _, _, err := j.MakeCard(ctx, c.spare, c.set); err != nil {
			c.set.Wipe() // another one may want another kind of keys
			c.set, c.spare = nil, ""
			return nil, fmt.Errorf("the second security key: %w", err)
		}
		c.done = true
		return nil, &waitError{WaitMain}
	}
	if _, _, err := j.MakeCard(ctx, c.main, c.set); errors.Is(err, ErrNoCard) && j.Choice.Backup == SpareBackup {
		return nil, &waitError{WaitMain}
	} else if err != nil {
		return nil, err
	}
	if err := j.M.Boot.WriteHint(ctx, hintCert, cert); err != nil {
		return nil, fmt.Errorf("storing the certificate: %w", err)
	}
	j.spare = c.spare
	c.wipe()
	return cert, nil
}

// makeSet makes keys of a kind that the cards take.
func (j *Job) makeSet(ctx context.Context) error {
	c := &j.copies
	kinds := c.algorithms
	if j.Choice.Backup == SpareBackup {
		kinds = common(kinds, c.found.Algorithms, "")
	}
	set, err := j.M.PGP.NewKeySet(ctx, j.keySpec(kinds), j.Choice.Identity)
	if err != nil {
		return fmt.Errorf("making keys: %w", err)
	}
	c.set = set
	return nil
}

func (j *Job) writeStick(ctx context.Context, cert []byte) error {
	if j.M.Sticks == nil || j.Choice.Stick == "" {
		return ErrNoStick
	}
	key, err := j.copies.set.Export(j.Secrets.Backup)
	if err != nil {
		return err
	}
	return j.M.Sticks.Write(ctx, j.Choice.Stick, backupFiles(j.copies.main, key, cert))
}

// common lists the algorithms that two cards take, those of the first in its order;
// only says which one it must be, "" for any.
func common(a, b []string, only string) (both []string) {
	for _, x := range a {
		if slices.Contains(b, x) && (only == "" || only == x) {
			both = append(both, x)
		}
	}
	return both
}
