package otp

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"reown/internal/secret"
)

func key(t testing.TB, s string) *secret.Buffer {
	t.Helper()
	k := secret.From([]byte(s))
	t.Cleanup(k.Wipe)
	return k
}

// RFC 4226, appendix D.
func TestHOTPVectors(t *testing.T) {
	k := key(t, "12345678901234567890")
	for i, want := range []string{"755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871",
		"520489"} {
		if got, err := HOTP(k, uint64(i)); err != nil || got.String() != want {
			t.Errorf("counter %d: %s, %v; want %s", i, got, err, want)
		}
	}
}

// RFC 6238, appendix B, shortened from eight digits to the last six.
func TestTOTPVectors(t *testing.T) {
	k := key(t, "12345678901234567890")
	for sec, want := range map[int64]string{
		59: "94287082", 1111111109: "07081804", 1111111111: "14050471", 1234567890: "89005924", 2000000000: "69279037",
		20000000000: "65353130",
	} {
		if got, err := TOTP(k, time.Unix(sec, 0)); err != nil || got.String() != want[2:] {
			t.Errorf("at %d: %s, %v; want %s", sec, got, err, want[2:])
		}
	}
}

func TestHMACAgreesWithTheStandardLibrary(t *testing.T) {
	for n := minSecret; n <= maxSecret; n++ {
		k := secret.Random(n)
		counter := rand.Uint64()
		h := hmac.New(sha1.New, k.Bytes())
		_ = binary.Write(h, binary.BigEndian, counter)
		if got := hmacSHA1(k, counter); !bytes.Equal(got[:], h.Sum(nil)) {
			t.Fatalf("key of %d bytes", n)
		}
		k.Wipe()
	}
}

func oathtool(t *testing.T, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("oathtool"); err != nil {
		if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
			t.Fatal(err)
		}
		t.Skip("oathtool is not installed")
	}
	out, err := exec.Command("oathtool", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("oathtool: %v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestOathtoolAgrees(t *testing.T) {
	for range 20 {
		k := NewSecret()
		defer k.Wipe()
		hexKey := hex.EncodeToString(k.Bytes())
		counter := rand.Uint64N(1 << 40)
		got, err := HOTP(k, counter)
		if want := oathtool(t, "--hotp", "--counter="+strconv.FormatUint(counter, 10), hexKey); err != nil ||
			got.String() != want {
			t.Fatalf("HOTP %d: %s, %v; oathtool says %s", counter, got, err, want)
		}
		at := time.Unix(rand.Int64N(4e9), 0).UTC()
		b32 := Base32Groups(k)
		defer b32.Wipe()
		got, err = TOTP(k, at)
		if want := oathtool(t, "--totp", "--now="+at.Format("2006-01-02 15:04:05 UTC"), "--base32",
			string(b32.Bytes())); err != nil || got.String() != want {
			t.Fatalf("TOTP at %v: %s, %v; oathtool says %s", at, got, err, want)
		}
	}
}

func TestVerifyToleratesTheClock(t *testing.T) {
	k := key(t, "12345678901234567890")
	now := time.Unix(1234567890, 0)
	for _, steps := range []int{0, 1, -1, 5, -20} {
		c, err := TOTP(k, now.Add(time.Duration(steps)*Step))
		if err != nil {
			t.Fatal(err)
		}
		typed := []byte(c.String()[:3] + " " + c.String()[3:] + "\n")
		if got, err := VerifyTOTP(k, typed, now, 20); err != nil || got != steps {
			t.Errorf("%d steps: got %d, %v", steps, got, err)
		}
		if steps != 0 {
			if _, err := VerifyTOTP(k, typed, now, max(steps, -steps)-1); !errors.Is(err, ErrWrongCode) {
				t.Errorf("%d steps outside of the window: %v", steps, err)
			}
		}
	}
	for _, typed := range []string{"", "12345", "1234567", "12345a", "١٢٣٤٥٦"} {
		if _, err := VerifyTOTP(k, []byte(typed), now, 1); !errors.Is(err, ErrBadCode) {
			t.Errorf("%q: %v", typed, err)
		}
	}
}

func TestRemaining(t *testing.T) {
	for in, want := range map[int64]time.Duration{0: 30 * time.Second, 29: time.Second, 30: 30 * time.Second,
		59: time.Second} {
		if got := Remaining(time.Unix(in, 0)); got != want {
			t.Errorf("at %d: %v, want %v", in, got, want)
		}
	}
}

func TestURI(t *testing.T) {
	k := key(t, "12345678901234567890")
	for board, want := range map[string]string{
		"qemu-coreboot-fbwhiptail-tpm2": "otpauth://totp/qemu-coreboot-fbwhiptail-tpm2?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
		"Thinkpad X230-hotp-maximized":  "otpauth://totp/Thinkpad%20X230-hotp-maximized?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
		"a/b?c&d%:é"[:9]:                "otpauth://totp/a%2Fb%3Fc%26d%25%3A?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
	} {
		u, err := URI(board, k)
		if err != nil || string(u.Bytes()) != want {
			t.Errorf("%q: %q, %v; want %q", board, u.Bytes(), err, want)
			continue
		}
		parsed, err := url.Parse(want)
		if err != nil || parsed.Path != "/"+board {
			t.Errorf("%q does not survive: %v, %v", board, parsed, err)
		}
		u.Wipe()
	}
	for _, board := range []string{"", "tab\t", "é", strings.Repeat("x", MaxBoard+1)} {
		if _, err := URI(board, k); !errors.Is(err, ErrBadBoard) {
			t.Errorf("%q: %v", board, err)
		}
	}
}

func TestBase32(t *testing.T) {
	k := key(t, "12345678901234567890")
	if b := Base32Groups(k); string(b.Bytes()) != "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ" {
		t.Errorf("%q", b.Bytes())
	}
	for _, text := range []string{"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "gezd gnbv-gy3t qojq gezd gnbv gy3t qojq\n",
		"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ==="} {
		if got, err := ParseBase32(key(t, text)); err != nil || !got.Equal(k) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"", "GEZD", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJ1", strings.Repeat("A", 200)} {
		if _, err := ParseBase32(key(t, text)); !errors.Is(err, ErrBadSecret) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestSecretLengths(t *testing.T) {
	for _, n := range []int{0, 9, 65} {
		if _, err := HOTP(secret.New(n), 1); !errors.Is(err, ErrBadSecret) {
			t.Errorf("%d bytes: %v", n, err)
		}
		if _, err := URI("board", secret.New(n)); !errors.Is(err, ErrBadSecret) {
			t.Errorf("URI of %d bytes: %v", n, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("123 456"), []byte("GEZD GNBV GY3T QOJQ"))
	f.Add([]byte("\xff"), []byte("===="))
	f.Fuzz(func(t *testing.T, code, text []byte) {
		if len(text) > 4096 {
			return
		}
		if c, err := ParseCode(code); err == nil {
			if again, err := ParseCode(c[:]); err != nil || again != c {
				t.Fatalf("%q", code)
			}
		}
		b := secret.From(bytes.Clone(text))
		defer b.Wipe()
		k, err := ParseBase32(b)
		if err != nil {
			return
		}
		defer k.Wipe()
		b32 := Base32(k)
		defer b32.Wipe()
		again, err := ParseBase32(b32)
		if err != nil || !again.Equal(k) {
			t.Fatalf("%q: %v", text, err)
		}
	})
}
