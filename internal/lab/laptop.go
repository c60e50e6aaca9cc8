package lab

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"reown/gpgcard/cardtest"
	"reown/gpgcard/cardtest/pcscdtest"
	"reown/tpm/tpmtest"
)

// Seller is everything the seller knows of the laptop. It is written to the lab's
// directory: these are the secrets that re-ownership makes worthless.
type Seller struct {
	Disk        string // LUKS passphrase
	UserPIN     string
	AdminPIN    string
	Owner       string // TPM owner passphrase
	TOTP        string // base32
	Fingerprint string // of the key on the card and in the ROM
}

// Board is the virtual laptop's name.
const Board = "Lab Laptop"

// Options choose what New makes.
type Options struct {
	Dir     string // made when missing; its path must be short, sockets lie in it
	DataMiB int    // file system inside the encrypted volume; 0: 128
	Card    string // profile of the emulated card; "": nk3
	TPM     string // "2.0" or "1.2"; "": 2.0
	Lean    bool   // a small initrd in /boot, which is hashed often, instead of this computer's
}

// A Laptop is one virtual laptop in a directory.
type Laptop struct {
	Dir     string
	Seller  Seller
	DataMiB int
	Profile string
	Family  string            // of the TPM
	Files   map[string]string // SHA-256 of each file in the encrypted volume

	VolumeKey string // hex; the seller could have kept it
	EK        string // SHA-256 of the TPM's endorsement key, hex

	// Device is what the encrypted partition is called where the laptop was re-owned;
	// "": as in host mode.
	Device string `json:"-"`

	Card  *cardtest.Card    `json:"-"`
	PCSC  *pcscdtest.Daemon `json:"-"`
	TPM   *tpmtest.Sim      `json:"-"`
	Heads *HeadsTPM         `json:"-"`
	GPG   *pcscdtest.GPG    `json:"-"` // the seller's
}

func (l *Laptop) path(name string) string { return filepath.Join(l.Dir, name) }

// BootDir, ROM and Disk are the laptop's parts; Window is where the LUKS partition
// lies in the disk image.
func (l *Laptop) BootDir() string                { return l.path("boot") }
func (l *Laptop) ROM() string                    { return l.path("rom.bin") }
func (l *Laptop) Disk() string                   { return l.path("disk.img") }
func (l *Laptop) Window() (offset, length int64) { return luksWindow(l.DataMiB) }

// device is the encrypted partition's name on the machine that was re-owned.
func (l *Laptop) device() string {
	if l.Device == "" {
		return l.Disk()
	}
	return l.Device
}

// New builds a laptop as a seller ships it, and leaves it switched on.
func New(ctx context.Context, o Options) (_ *Laptop, err error) {
	if o.DataMiB == 0 {
		o.DataMiB = 128
	}
	if o.Card == "" {
		o.Card = "nk3"
	}
	if o.TPM == "" {
		o.TPM = "2.0"
	} else if o.TPM != "2.0" && o.TPM != "1.2" {
		return nil, fmt.Errorf("no TPM %q: 1.2 or 2.0", o.TPM)
	}
	var totp [20]byte
	if _, err := rand.Read(totp[:]); err != nil {
		return nil, err
	}
	l := &Laptop{Dir: o.Dir, DataMiB: o.DataMiB, Profile: o.Card, Family: o.TPM, Seller: Seller{
		Disk: "PleaseChangeMe", UserPIN: "seller-user", AdminPIN: "seller-admin", Owner: "seller-owner",
		TOTP: base32.StdEncoding.EncodeToString(totp[:]),
	}}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			l.Stop()
		}
	}()
	if err := l.startDevices(); err != nil {
		return nil, err
	}
	if l.Seller.Fingerprint, err = makeSellerCard(ctx, l.GPG, l.Seller); err != nil {
		return nil, err
	}
	cert, err := l.gpg("", "--export", l.Seller.Fingerprint)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(l.path("seller.gpg"), cert, 0o644); err != nil {
		return nil, err
	}
	kbx, trustdb, err := romKeyring(ctx, cert, l.Seller.Fingerprint, l.Dir)
	if err != nil {
		return nil, err
	}
	if err := makeROM(ctx, l.ROM(), l.Dir, []ROMFile{
		{"heads/initrd/.gnupg/pubring.kbx", kbx},
		{"heads/initrd/.gnupg/trustdb.gpg", trustdb},
		{"heads/initrd/etc/config.user", []byte("export CONFIG_BOOT_DEV=\"/dev/sda1\"\n")},
	}); err != nil {
		return nil, err
	}
	config := fmt.Sprintf("export CONFIG_BOARD_NAME=%q\nexport CONFIG_TPM=\"y\"\n", Board)
	if o.TPM == "2.0" {
		config += "export CONFIG_TPM2_TOOLS=\"y\"\n"
	}
	if err := os.WriteFile(l.path("config"), []byte(config), 0o644); err != nil {
		return nil, err
	}
	if err := l.makeVolume(ctx, o.Lean); err != nil {
		return nil, err
	}
	if err := l.provision(ctx, totp[:]); err != nil {
		return nil, err
	}
	l.GPG.Kill() // scdaemon would keep the card to itself
	return l, l.save()
}

// makeVolume makes the disk image.
func (l *Laptop) makeVolume(ctx context.Context, lean bool) (err error) {
	root := l.path("root")
	defer os.RemoveAll(root)
	if l.Files, err = makeOwnerFiles(root, l.DataMiB, 1); err != nil {
		return err
	}
	pass := l.path("pass")
	if err := os.WriteFile(pass, []byte(l.Seller.Disk), 0o600); err != nil {
		return err
	}
	defer os.Remove(pass)
	if err := makeBootDir(l.BootDir(), lean); err != nil {
		return err
	}
	if err := makeDisk(ctx, l.Disk(), l.BootDir(), root, l.DataMiB, pass, l.Dir); err != nil {
		return err
	}
	offset, size := l.Window()
	v, err := CopyVolume(l.Disk(), offset, size, l.Dir)
	if err != nil {
		return err
	}
	defer os.Remove(v.Path)
	key, err := v.Key(ctx, l.Seller.Disk)
	l.VolumeKey = hex.EncodeToString(key)
	return err
}

// provision does what the seller does last: owns the TPM, seals the TOTP secret
// and signs /boot with the hand-over trigger in it.
func (l *Laptop) provision(ctx context.Context, totp []byte) error {
	if err := l.Heads.Measure(ctx, l.ROM()); err != nil {
		return err
	}
	rollback, primary, err := l.own(ctx, totp)
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{"oem": nil, "kexec_rollback.txt": rollback,
		"kexec_primhdl_hash.txt": primary} {
		if data == nil && name != "oem" {
			continue
		}
		if err := os.WriteFile(filepath.Join(l.BootDir(), name), data, 0o644); err != nil {
			return err
		}
	}
	if l.EK, err = l.Heads.Endorsement(ctx, l.Seller.Owner); err != nil {
		return err
	}
	return l.Sign(ctx)
}

// Sign lets the seller sign the boot directory, as Heads does, and make the hand-over.
// The laptop is on, as the seller ships it.
func (l *Laptop) Sign(ctx context.Context) error {
	if err := headsHash(ctx, l.BootDir()); err != nil {
		return err
	}
	if err := l.signBoot(ctx); err != nil {
		return err
	}
	return l.makeHandover(ctx, "")
}

// own is the seller's TPM: owned, with a counter and the TOTP secret. It returns
// kexec_rollback.txt and, with a TPM 2.0, kexec_primhdl_hash.txt.
func (l *Laptop) own(ctx context.Context, totp []byte) (rollback, primary []byte, err error) {
	if l.Family == "1.2" {
		rollback, err = own12(ctx, l.TPM.Socket, l.Seller.Owner, totp)
		return rollback, nil, err
	}
	if err := l.Heads.Reset(ctx, l.Seller.Owner); err != nil {
		return nil, nil, err
	}
	if rollback, err = l.Heads.Counter(ctx, l.Seller.Owner, "1ab0c0d"); err != nil {
		return nil, nil, err
	}
	if primary, err = l.Heads.PrimaryHash(ctx); err != nil {
		return nil, nil, err
	}
	return rollback, primary, l.Heads.Seal(ctx, totp, l.Seller.Owner)
}

// signBoot signs the kexec*.txt files with the seller's card, the way Heads does.
func (l *Laptop) signBoot(ctx context.Context) error {
	signed, err := HeadsSignedBytes(ctx, l.BootDir())
	if err != nil {
		return err
	}
	sig, err := l.SellerSigns(signed)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(l.BootDir(), "kexec.sig"), sig, 0o644)
}

// SellerSigns makes an armored detached signature with gpg and the seller's card.
func (l *Laptop) SellerSigns(data []byte) ([]byte, error) {
	return l.gpg(string(data), "--passphrase", l.Seller.UserPIN, "--detach-sign", "--digest-algo", "SHA256", "-a", "-o",
		"-")
}

// gpg runs gpg with the seller's home and card.
func (l *Laptop) gpg(stdin string, args ...string) ([]byte, error) {
	cmd := l.GPG.Command("gpg", append([]string{"--batch", "--no-tty", "--yes", "--pinentry-mode", "loopback"},
		args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("gpg %s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	return out, nil
}

func (l *Laptop) save() error {
	js, err := json.MarshalIndent(l, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(l.path("laptop.json"), js, 0o600)
}

// Load opens a laptop that New made, switched off.
func Load(dir string) (*Laptop, error) {
	js, err := os.ReadFile(filepath.Join(dir, "laptop.json"))
	if err != nil {
		return nil, err
	}
	l := &Laptop{}
	if err := json.Unmarshal(js, l); err != nil {
		return nil, err
	}
	l.Dir = dir
	return l, nil
}

// startDevices switches on the TPM and the card.
func (l *Laptop) startDevices() (err error) {
	if l.Card, err = l.loadCard(); err != nil {
		return err
	}
	l.Card.AutoTouch(true)
	l.Card.OnChange(func(saved []byte) { _ = os.WriteFile(l.path("card.json"), saved, 0o600) })
	if l.PCSC, err = pcscdtest.Start(l.path("pcsc"), l.Card); err != nil {
		return err
	}
	if l.GPG, err = l.PCSC.GPG(l.path("gpg")); err != nil {
		return err
	}
	version := tpmtest.V20
	if l.Family == "1.2" {
		version = tpmtest.V12
	}
	if l.TPM, err = tpmtest.StartVersion(l.path("tpm"), version); err != nil {
		return err
	}
	l.Heads = &HeadsTPM{TCTI: l.TPM.TCTI(), Dir: l.path("heads")}
	if version == tpmtest.V12 {
		l.Heads.Socket = l.TPM.Socket
	}
	return nil
}

func (l *Laptop) loadCard() (*cardtest.Card, error) {
	if saved, err := os.ReadFile(l.path("card.json")); err == nil {
		return cardtest.Load(saved)
	}
	for _, p := range cardtest.Profiles {
		if p.Name == l.Profile {
			return cardtest.New(p), nil
		}
	}
	return nil, fmt.Errorf("no card profile %q", l.Profile)
}

// Start switches the laptop on: the firmware measures itself.
func (l *Laptop) Start(ctx context.Context) error {
	if err := l.startDevices(); err != nil {
		l.Stop()
		return err
	}
	return l.Heads.Measure(ctx, l.ROM())
}

// PowerCycle cuts the power and switches on again. The card stays plugged in.
func (l *Laptop) PowerCycle(ctx context.Context) error {
	if err := l.TPM.PowerCycle(); err != nil {
		return err
	}
	return l.Heads.Measure(ctx, l.ROM())
}

// Stop switches everything off.
func (l *Laptop) Stop() {
	if l.GPG != nil {
		l.GPG.Kill()
	}
	if l.PCSC != nil {
		l.PCSC.Stop()
	}
	if l.TPM != nil {
		l.TPM.Stop()
	}
	l.GPG, l.PCSC, l.TPM = nil, nil, nil
}

// Flags are what tells reown where this laptop's devices are.
func (l *Laptop) Flags() []string {
	offset, size := l.Window()
	return []string{
		"--boot", l.BootDir(), "--disk", fmt.Sprintf("%s@%d+%d", l.Disk(), offset, size), "--tpm", l.TPM.Socket,
		"--flash", "file:" + l.ROM(), "--card", "pcsc:" + l.PCSC.Socket, "--config", l.path("config"), "--no-restart",
		"--pbkdf2", // a quarter of a second, ten times in each run
	}
}
