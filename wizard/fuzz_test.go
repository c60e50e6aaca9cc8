package wizard

import (
	"bytes"
	"encoding/json"
	"testing"
)

// FuzzReceipt: a file that somebody left in /boot, as if its signature were good, is a receipt that
// is read as it is written, or none.
func FuzzReceipt(f *testing.F) {
	f.Add([]byte(`{"type":"` + receiptType + `","run":"00","disks":["a"],"volumes":[{}],"started":"2026-11-30"}` +
		"\nsignature"))
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		sure := func(doc, sig []byte) error {
			if !bytes.Equal(append(bytes.Clone(doc), sig...), file) {
				t.Fatal("the signature is asked about something else")
			}
			return nil
		}
		r, err := openReceipt(file, sure)
		if err != nil {
			return
		}
		doc, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		again, err := openReceipt(append(doc, '\n'), func(_, _ []byte) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		if twice, _ := json.Marshal(again); !bytes.Equal(doc, twice) {
			t.Errorf("%s\nbecomes\n%s", doc, twice)
		}
	})
}

// FuzzCertificate: the same of a certificate.
func FuzzCertificate(f *testing.F) {
	f.Add([]byte(`{"type":"` + certificateType + `"}`))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, file []byte) {
		c := &Certificate{json: file}
		if err := c.parse(func(_, _ []byte) error { return nil }); err == nil && c.Type != certificateType {
			t.Errorf("accepted as %q", c.Type)
		}
	})
}
