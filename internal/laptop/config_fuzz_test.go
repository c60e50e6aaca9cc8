package laptop

import (
	"bytes"
	"strings"
	"testing"
)

// FuzzHeadsConfig: whatever stands in Heads' configuration, a setting is one of CONFIG_ and of one line.
func FuzzHeadsConfig(f *testing.F) {
	f.Add([]byte("export CONFIG_BOARD=\"x230\"\nCONFIG_TPM='y'\nCONFIG_X=\nPATH=/bin\n"))
	f.Add([]byte("CONFIG_A=\"\nCONFIG_B='\"\r\nCONFIG_C\x00=1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseHeadsConfig(bytes.NewReader(b))
		if err != nil {
			return
		}
		for name, value := range m {
			if !strings.HasPrefix(name, "CONFIG_") || strings.ContainsAny(name+value, "\n") || strings.Contains(name, "=") {
				t.Errorf("%q=%q", name, value)
			}
		}
	})
}
