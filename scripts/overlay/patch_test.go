package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const before = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\nten\n"

// TestLikePatch: what diff makes is applied as patch(1) would, to the byte.
func TestLikePatch(t *testing.T) {
	for name, after := range map[string]string{
		"middle":     strings.Replace(before, "five\n", "FIVE\nhalf\n", 1),
		"first":      "zero\n" + before,
		"last":       before + "eleven\n",
		"two places": "two\nthree\nfour\nfive\nsix\nseven\neight\nnine\nTEN\n",
		"new":        "", "deleted": "",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			old, labels := before, []string{"a/f", "b/f"}
			switch name {
			case "new":
				old, after, labels[0] = "", before, "/dev/null"
			case "deleted":
				labels[1] = "/dev/null"
			}
			write(t, filepath.Join(dir, "old"), old)
			write(t, filepath.Join(dir, "new"), after)
			cmd := exec.Command("diff", "-u", "--label", labels[0], "--label", labels[1], "old", "new")
			cmd.Dir = dir
			diff, _ := cmd.Output()
			changes, err := parsePatch("Why.\n\n" + string(diff))
			if err != nil || len(changes) != 1 {
				t.Fatalf("%v: %s", err, diff)
			}
			got, err := changes[0].apply(old)
			if err != nil || got != after {
				t.Fatalf("%v: %q", err, got)
			}
			// Any other text at the place, or the place elsewhere, is refused.
			if name == "new" {
				return
			}
			for _, other := range []string{strings.ToUpper(old), "another\n" + old, old[:4]} {
				if got, err := changes[0].apply(other); err == nil && name != "first" {
					t.Errorf("applied to %q: %q", other, got)
				}
			}
		})
	}
}

func TestBadPatches(t *testing.T) {
	for _, text := range []string{
		"", "only why\n", "--- a/f\n", "--- a/f\n+++ b/g\n", "--- f\n+++ f\n", "--- /dev/null\n+++ /dev/null\n",
		"--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n one\n",
		"--- a/f\n+++ b/f\n@@ -1 +1 @@\n-one\n+1\nnoise\n",
		"--- a/f\n+++ b/f\n@@ -1,1 +1,1 @@\n one\n one\n",
		"--- a/f\n+++ b/f\n@@ one @@\n",
	} {
		if c, err := parsePatch(text); err == nil {
			t.Errorf("%q is read as %v", text, c)
		}
	}
	if err := patchFile(t.TempDir(), t.TempDir(), fileChange{to: "../x"}, map[string]bool{}); err == nil {
		t.Error("a patch writes outside of its module")
	}
}

// TestPatches: each patch says why and belongs to a module of go.mod.
func TestPatches(t *testing.T) {
	patches, _, err := patchesIn(os.DirFS("patches"))
	if err != nil || len(patches) == 0 {
		t.Fatal(err)
	}
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for module, texts := range patches {
		if module != std && !strings.Contains(string(mod), "\t"+module+" v") {
			t.Errorf("%s is not in go.mod", module)
		}
		for name, text := range texts {
			if why, _, _ := strings.Cut(text, "\n--- "); len(why) < 40 || strings.HasPrefix(text, "---") {
				t.Errorf("%s/%s does not say why", module, name)
			}
		}
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
