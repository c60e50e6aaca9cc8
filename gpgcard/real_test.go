package gpgcard_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reown/gpgcard"
	"reown/internal/pcsc"
)

// A real token is used only by who names its serial number, because everything on
// it is destroyed:
//
//	go test ./gpgcard -run RealCard -wipe-card=000F:0012ABCD -record=testdata/apdu/nk3-1.8.0
var (
	wipeCard  = flag.String("wipe-card", "", "serial number of a real card to destroy and use in TestRealCard")
	wipeAlg   = flag.String("wipe-algorithm", "", "algorithm for TestRealCard; the card's first choice otherwise")
	record    = flag.String("record", "", "directory for a transcript of TestRealCard")
	pcscdPath = flag.String("pcscd", "", "socket of the pcscd that has the real card")
)

// recorder writes each exchange of a bus's cards into a transcript. The PINs in it
// are the factory's and this test's.
type recorder struct {
	gpgcard.Bus
	out *strings.Builder
}

func (r recorder) Connect(ctx context.Context, rd gpgcard.Reader) (gpgcard.Link, error) {
	l, err := r.Bus.Connect(ctx, rd)
	if err != nil {
		return nil, err
	}
	return recordedLink{l, r.out}, nil
}

type recordedLink struct {
	gpgcard.Link
	out *strings.Builder
}

func (l recordedLink) Transmit(ctx context.Context, apdu []byte) ([]byte, error) {
	cmd := fmt.Sprintf("%x", apdu)
	r, err := l.Link.Transmit(ctx, apdu)
	if err == nil {
		fmt.Fprintf(l.out, "> %s\n< %x\n", cmd, r)
	}
	return r, err
}

// TestRealCard takes a real token through the wizard's flow, judged by gpg, and
// leaves it reset.
func TestRealCard(t *testing.T) {
	if *wipeCard == "" {
		t.Skip("needs a token that may be destroyed: -wipe-card=SERIAL")
	}
	ctx := context.Background()
	var out strings.Builder
	bus := recorder{pcsc.Bus{Socket: *pcscdPath}, &out}
	c, err := gpgcard.Open(ctx, gpgcard.Selector{Serial: *wipeCard}, bus)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	info, err := c.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	alg := gpgcard.P256
	if len(info.Algorithms) > 0 {
		alg = info.Algorithms[0]
	}
	if *wipeAlg != "" {
		if alg, err = gpgcard.ParseAlgorithm(*wipeAlg); err != nil {
			t.Fatal(err)
		}
	}
	ownCard(t, c, alg)
	if err := c.Reset(ctx, gpgcard.ResetOptions{}); err != nil {
		t.Fatal(err)
	}
	if *record == "" {
		return
	}
	if err := os.MkdirAll(*record, 0o755); err != nil {
		t.Fatal(err)
	}
	head := fmt.Sprintf("# %s, version %s, %v, by TestRealCard.\n\n", info.Manufacturer, info.Version, alg)
	if err := os.WriteFile(filepath.Join(*record, alg.String()+".txt"), []byte(head+out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
