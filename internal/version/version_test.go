package version

import (
	"os"
	"strings"
	"testing"
	"time"
)

// TestFile: the line that is built in, and that of the file VERSION, have three words and a time.
func TestFile(t *testing.T) {
	file, err := os.ReadFile("../../VERSION")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []string{line, string(file)} {
		line = strings.TrimSpace(l)
		if len(strings.Fields(line)) != 3 || Time().Before(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("%q is not a version, a commit and a time", line)
		}
		if s := String(); !strings.HasPrefix(s, strings.Fields(line)[0]+" (commit ") || !strings.Contains(s, ", go1.") {
			t.Errorf("%q says %q", line, s)
		}
	}
}
