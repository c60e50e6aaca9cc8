package boot

import (
	"context"
	"os/exec"
	"strings"
	"testing"
)

// TestTreeDigest: the value can be had without us, and does not change when the
// trigger goes or the set of signed files is replaced.
func TestTreeDigest(t *testing.T) {
	needPeers(t, "bash", "busybox", "sha256sum")
	dir := makeLayout(t, "debian")
	got, err := TreeDigest(context.Background(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	const script = `export LC_ALL=C; cd "$1" && rm oem && { find ./ -type f ! -path './kexec*' -print0 | busybox sort -z | xargs -0 sha256sum; find ./ ! -path './kexec*' -print0 | busybox sort -z; } | sha256sum`
	out, err := exec.Command("bash", "-c", script, "heads", dir).Output()
	if err != nil || !strings.HasPrefix(string(out), got+" ") {
		t.Errorf("%s, the commands say %s (%v)", got, out, err)
	}
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, d, BuildOptions{}, sign, goodSig)
	if again, err := TreeDigest(context.Background(), dir, nil); err != nil || again != got {
		t.Errorf("%s became %s, %v", got, again, err)
	}
	// The same from the sums of a check, and nothing of a /boot that does not match.
	if r, err := d.Verify(goodSig); err != nil || r.Tree != got {
		t.Errorf("the check says %q, %v", r.Tree, err)
	}
	writeTree(t, dir, map[string]string{"oem": ""})
	if r, err := d.Verify(goodSig); err != nil || r.Tree != got {
		t.Errorf("with a trigger the check says %q, %v", r.Tree, err)
	}
	writeTree(t, dir, map[string]string{"more": ""})
	if r, err := d.Verify(goodSig); err != nil || r.Tree != "" {
		t.Errorf("with a file more the check says %q, %v", r.Tree, err)
	}
}
