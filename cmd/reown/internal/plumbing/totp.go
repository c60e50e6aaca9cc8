package plumbing

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"time"

	"reown/cmd/reown/internal/cli"
	"reown/internal/otp"
	"reown/internal/qr"
	"reown/internal/secret"
)

func totpCommand() *cli.Command {
	return &cli.Command{Name: "totp", Short: "six digits for the phone: new, code, verify", Sub: []*cli.Command{
		{Name: "new", Args: "--board NAME --out FILE", Short: "make a secret and show it as a QR code", Run: totpNew,
			Long: `
Writes 20 random bytes to FILE, which must not exist, and prints the QR code that a phone reads, and the same
in letters. Anybody who sees the screen can copy the secret. Seal FILE with "reown tpm seal" and destroy it.`},
		{Name: "code", Args: "--secret-file FILE", Short: "the six digits of this moment", Run: totpCode},
		{Name: "verify", Args: "--secret-file FILE CODE", Short: "compare with the six digits of a phone", Run: totpVerify,
			Long: `Also says how far the phone's clock is ahead of this one.`},
	}}
}

func totpNew(_ context.Context, e *cli.Env, args []string) error {
	f := cli.NewFlags("reown totp new")
	board, out := f.String("board", "", "NAME the name that the phone will show"), f.String("out", "", "FILE "+
		"where the secret goes; it must not exist")
	ink, noQR := f.String("ink", "light", "COLOUR is text light on dark (as on a console) or dark on light?"),
		f.Bool("no-qr", false, "letters "+
			"only, for screens without block characters")
	if _, err := cli.Parse(f, args, 0, 0); err != nil {
		return err
	}
	if *board == "" || *out == "" || *ink != "light" && *ink != "dark" {
		return cli.Usagef("%s needs --board and --out; --ink is light or dark", f.Name())
	}
	key := otp.NewSecret()
	defer key.Wipe()
	uri, err := otp.URI(*board, key)
	if err != nil {
		return err
	}
	defer uri.Wipe()
	code, err := qr.Encode(uri.Bytes(), qr.L)
	if err != nil {
		return err
	}
	defer code.Wipe()
	if err := writeNew(*out, key.Bytes()); err != nil {
		return err
	}
	if !*noQR {
		const quiet = 2 // leaves room for the letters on 25 lines
		text := code.Text(quiet, *ink == "light")
		defer text.Wipe()
		if _, err := e.Stdout.Write(text.Bytes()); err != nil {
			return fmt.Errorf("showing the secret: %w", err)
		}
	}
	letters := otp.Base32Groups(key)
	defer letters.Wipe()
	if _, err := e.Stdout.Write(letters.Bytes()); err != nil {
		return fmt.Errorf("showing the secret: %w", err)
	}
	fmt.Fprintln(e.Stdout)
	return nil
}

// totpFlags are the flags of code and verify.
type totpFlags struct {
	*flag.FlagSet
	file, at     string
	base32, json bool
}

func newTotpFlags(name string) *totpFlags {
	f := &totpFlags{FlagSet: cli.NewFlags("reown totp " + name)}
	f.StringVar(&f.file, "secret-file", "", "FILE the secret, 20 bytes as Heads keeps it; - is standard input")
	f.StringVar(&f.at, "at", "", "TIME another time than now, as 2006-01-02T15:04:05Z")
	f.BoolVar(&f.base32, "base32", false, "the file holds the secret in base32 instead")
	f.BoolVar(&f.json, "json", false, "report as one JSON document")
	return f
}

// secret reads the secret and the time to compute for.
func (f *totpFlags) secret(e *cli.Env) (*secret.Buffer, time.Time, error) {
	now := time.Now()
	if f.file == "" {
		return nil, now, cli.Usagef("%s needs --secret-file", f.Name())
	}
	if f.at != "" {
		t, err := time.Parse(time.RFC3339, f.at)
		if err != nil {
			return nil, now, cli.Usagef("%s: --at is a time such as 2006-01-02T15:04:05Z", f.Name())
		}
		now = t
	}
	key, err := e.Key(f.file)
	if err != nil || !f.base32 {
		return key, now, err
	}
	defer key.Wipe()
	key, err = otp.ParseBase32(key)
	return key, now, err
}

func totpCode(_ context.Context, e *cli.Env, args []string) error {
	f := newTotpFlags("code")
	if _, err := cli.Parse(f.FlagSet, args, 0, 0); err != nil {
		return err
	}
	key, now, err := f.secret(e)
	if err != nil {
		return err
	}
	defer key.Wipe()
	c, err := otp.TOTP(key, now)
	if err != nil {
		return err
	}
	if f.json {
		return e.JSON(struct {
			Code    string `json:"code"`
			UTC     string `json:"utc"`
			Seconds int    `json:"seconds_left"`
		}{c.String(), now.UTC().Format(time.RFC3339), int(otp.Remaining(now) / time.Second)})
	}
	fmt.Fprintln(e.Stdout, c)
	return nil
}

func totpVerify(_ context.Context, e *cli.Env, args []string) error {
	f := newTotpFlags("verify")
	window := f.Int("window", 1, "N steps of 30 s to look back and ahead")
	typed, err := cli.Parse(f.FlagSet, args, 1, otp.Digits)
	if err != nil {
		return err
	}
	key, now, err := f.secret(e)
	if err != nil {
		return err
	}
	defer key.Wipe()
	ahead, err := otp.VerifyTOTP(key, []byte(strings.Join(typed, "")), now, *window)
	if err != nil {
		return err
	}
	seconds := ahead * int(otp.Step/time.Second)
	if f.json {
		return e.JSON(struct {
			OK    bool   `json:"ok"`
			UTC   string `json:"utc"`
			Ahead int    `json:"phone_ahead_seconds"`
		}{true, now.UTC().Format(time.RFC3339), seconds})
	}
	fmt.Fprintln(e.Stdout, "the six digits are right")
	if seconds != 0 {
		fmt.Fprintf(e.Stdout, "the phone's clock is about %+d s ahead of this one (%s)\n", seconds,
			now.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	return nil
}
