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
//	go test ./gpgcard -run RealCard -wipe-card=000F:0012ABCD -record=../testdata/apdu/nk3-1.8.0
var (
	wipeCard  = flag.String("wipe-card", "", "serial number of a real card to destroy and use in TestRealCard")
	wipeAlg   = flag.String("wipe-algorithm", "", "algorithm for TestRealCard; the card's first choice otherwise")
	record    = flag.String("record", "", "directory for a transcript of TestRealCard")
	pcscdPath = flag.String("pcscd", "", "socket of the pcscd that has the real card")
)

// TestRealCard takes a real token through the wizard's flow, judged by gpg, and
// leaves it reset.
func TestRealCard(t *testing.T) {
	if *wipeCard == "" {
		t.Skip("needs a token that may be destroyed: -wipe-card=SERIAL")
	}
	ctx := context.Background()
	var out strings.Builder
	c, err := gpgcard.Open(ctx, gpgcard.Selector{Serial: *wipeCard}, gpgcard.Record(&out, pcsc.Bus{Socket: *pcscdPath})...)
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
