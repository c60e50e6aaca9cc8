package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPapers: what `make docs` makes fits its paper, in both sizes, and has a picture of each page that has one.
func TestPapers(t *testing.T) {
	for _, tool := range []string{"weasyprint", "pdfinfo", "pdftotext"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("REOWN_REQUIRE_PEERS") != "" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	dir := t.TempDir()
	cmd := exec.Command("scripts/papers", dir)
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, c := range []struct{ paper, size, pages string }{
		{"sheet", "A4", "2"}, {"sheet", "Letter", "2"}, {"quick", "A4", "1"}, {"quick", "Letter", "1"},
		{"buyer", "A4", ""}, {"buyer", "Letter", ""},
	} {
		file := filepath.Join(dir, c.paper+"-"+c.size+".pdf")
		info, err := exec.Command("pdfinfo", file).Output()
		if err != nil {
			t.Fatal(err)
		}
		_, pages, _ := strings.Cut(string(info), "Pages:")
		pages, _, _ = strings.Cut(strings.TrimSpace(pages), "\n")
		if c.pages != "" && pages != c.pages {
			t.Errorf("%s has %s pages, not %s", file, pages, c.pages)
		}
		if size := map[string]string{"A4": "(A4)", "Letter": "(letter)"}[c.size]; !strings.Contains(string(info), size) {
			t.Errorf("%s is not %s: %s", file, c.size, info)
		}
	}
	text, err := exec.Command("pdftotext", filepath.Join(dir, "buyer-A4.pdf"), "-").Output()
	if err != nil || strings.Contains(string(text), "**") || strings.Contains(string(text), "](") {
		t.Errorf("the guide has marks of its source left (%v)", err)
	}
	guide, err := os.ReadFile("../../docs/buyer.md")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "buyer.html"))
	if err != nil {
		t.Fatal(err)
	}
	if want, got := strings.Count(string(guide), "!["), strings.Count(string(page), "<img"); want < 10 || got != want {
		t.Errorf("%d of %d pictures", got, want)
	}
}
