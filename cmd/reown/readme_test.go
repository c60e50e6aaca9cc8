package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"reown/wizard"
	"reown/wizard/msg"
)

var update = flag.Bool("update", false, "rewrite what the tests generate")

// TestReadmeListsTheSteps keeps the README's table what the program does.
func TestReadmeListsTheSteps(t *testing.T) {
	const begin, end = "<!-- steps -->\n", "<!-- /steps -->\n"
	var table strings.Builder
	table.WriteString("| step | what happens | what cannot be undone |\n|---|---|---|\n")
	for _, s := range wizard.Steps() {
		fmt.Fprintf(&table, "| %s | %s | %s |\n", s.Title.In(msg.EN), s.Does.In(msg.EN), s.Loses.In(msg.EN))
	}
	data, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	i, j := strings.Index(text, begin), strings.Index(text, end)
	if i < 0 || j < i {
		t.Fatal("README.md has no place for the steps")
	}
	want := text[:i+len(begin)] + table.String() + text[j:]
	if text == want {
		return
	}
	if !*update {
		t.Fatal("README.md does not list the steps as they are; run go test ./cmd/reown -run Readme -update")
	}
	if err := os.WriteFile("../../README.md", []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}
