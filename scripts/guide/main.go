// Command guide makes pages for printing of the buyer's guide: the whole of it with its pictures,
// and its short form on one page.
//
//	go run ./scripts/guide docs/buyer.md DIR
package main

import (
	"fmt"
	"html"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: guide docs/buyer.md DIR")
	}
	if err := write(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

// quick is the section that is also a page of its own.
const quick = "## In short\n"

func write(name, dir string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	doc := string(data)
	title, _, _ := strings.Cut(doc, "\n")
	_, short, ok := strings.Cut(doc, quick)
	if !ok {
		return fmt.Errorf("%s has no section %q", name, quick)
	}
	short, _, _ = strings.Cut(short, "\n## ")
	for file, text := range map[string]string{"buyer.html": doc, "quick.html": title + "\n" + short} {
		p := page{dir: filepath.Dir(name)}
		if err := p.read(text); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(p.String()), 0o644); err != nil {
			return err
		}
	}
	return nil
}

const head = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>%s</title>
<style>
@page { margin: 18mm 16mm; @bottom-right { content: counter(page) " / " counter(pages); font: 8pt sans-serif } }
body { font: 10.5pt/1.4 sans-serif }
h1 { font-size: 17pt } h2 { font-size: 14pt; margin-top: 8mm } h3 { font-size: 11.5pt; margin-top: 6mm }
h1, h2, h3 { page-break-after: avoid }
img { width: 130mm; page-break-inside: avoid; page-break-after: avoid }
pre { font: 8pt/1.2 monospace; border: 1px solid #888; padding: 2mm; page-break-inside: avoid; width: 145mm }
table { border-collapse: collapse; width: 100%% } td, th { border: 1px solid #888; padding: 1.5mm; text-align: left; vertical-align: top }
tr { page-break-inside: avoid }
</style>
`

// page turns the Markdown of the guide, which is little, into HTML.
type page struct {
	strings.Builder
	dir   string // where the document lies
	open  string // the element that the next line may go on with
	lines []string
}

var (
	item    = regexp.MustCompile(`^(-|\d+\.) +`)
	rule    = regexp.MustCompile(`^\|[-|]+\|$`)
	heading = regexp.MustCompile(`^(#{1,3}) (.*)$`)
	picture = regexp.MustCompile(`^!\[(.*)\]\((.*)\)$`)
	asText  = regexp.MustCompile(`^\[The page as text\]\((.*)\)$`)
)

// read writes a document. What it does not know is an error, so that nothing is printed wrong.
func (p *page) read(doc string) error {
	title, _, _ := strings.Cut(strings.TrimPrefix(doc, "# "), "\n")
	fmt.Fprintf(p, head, html.EscapeString(title))
	fenced := false
	for line := range strings.Lines(doc) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "```") {
			p.end()
			p.WriteString(map[bool]string{false: "<pre>", true: "</pre>\n"}[fenced])
			fenced = !fenced
			continue
		}
		if fenced {
			p.WriteString(html.EscapeString(line) + "\n")
			continue
		}
		if err := p.line(line); err != nil {
			return err
		}
	}
	p.end()
	return nil
}

func (p *page) line(line string) error {
	switch m := heading.FindStringSubmatch(line); {
	case strings.TrimSpace(line) == "":
		p.paragraph()
		if p.open == "table" {
			p.end()
		}
	case strings.HasPrefix(line, "<!--") && strings.HasSuffix(line, "-->"):
	case m != nil:
		p.end()
		fmt.Fprintf(p, "<h%[1]d>%[2]s</h%[1]d>\n", len(m[1]), inline(m[2]))
	case picture.MatchString(line):
		p.end()
		m := picture.FindStringSubmatch(line)
		file, err := filepath.Abs(filepath.Join(p.dir, m[2]))
		if err == nil {
			_, err = os.Stat(file)
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(p, "<p><img alt=\"%s\" src=\"%s\">\n", html.EscapeString(m[1]), html.EscapeString(file))
	case asText.MatchString(line):
		p.end()
		screen, err := os.ReadFile(filepath.Join(p.dir, asText.FindStringSubmatch(line)[1]))
		if err != nil {
			return err
		}
		text, _, _ := strings.Cut(string(screen), "\n--- ") // behind it are colours
		fmt.Fprintf(p, "<pre>%s</pre>\n", html.EscapeString(text))
	case rule.MatchString(line):
	case strings.HasPrefix(line, "|"):
		p.begin("table")
		p.WriteString("<tr>")
		for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
			p.WriteString("<td>" + inline(strings.TrimSpace(cell)))
		}
		p.WriteString("\n")
	case item.MatchString(line):
		p.paragraph()
		p.begin(map[bool]string{true: "ul", false: "ol"}[line[0] == '-'])
		p.lines = []string{"<li>", item.ReplaceAllString(line, "")}
	case len(p.lines) == 0 && !strings.HasPrefix(line, " "):
		p.end()
		p.lines = []string{"<p>", line}
	case len(p.lines) == 0:
		return fmt.Errorf("what is this line? %q", line)
	default:
		p.lines = append(p.lines, strings.TrimSpace(line))
	}
	return nil
}

func (p *page) begin(element string) {
	if p.open != element {
		p.end()
		fmt.Fprintf(p, "<%s>\n", element)
	}
	p.open = element
}

// paragraph ends the paragraph or item that is read.
func (p *page) paragraph() {
	if len(p.lines) > 0 {
		p.WriteString(p.lines[0] + inline(strings.Join(p.lines[1:], " ")) + "\n")
	}
	p.lines = nil
}

// end ends the list or table, too.
func (p *page) end() {
	p.paragraph()
	if p.open != "" {
		fmt.Fprintf(p, "</%s>\n", p.open)
	}
	p.open = ""
}

var (
	code   = regexp.MustCompile("`([^`]*)`")
	strong = regexp.MustCompile(`\*\*([^*]+)\*\*`)
	stress = regexp.MustCompile(`\*([^*]+)\*`)
	link   = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

// inline is the text of a paragraph. On paper a link is its text.
func inline(text string) string {
	var names []string
	text = code.ReplaceAllStringFunc(html.EscapeString(text), func(s string) string {
		names = append(names, "<code>"+strings.Trim(s, "`")+"</code>")
		return "\x00"
	})
	text = link.ReplaceAllString(text, "$1")
	text = stress.ReplaceAllString(strong.ReplaceAllString(text, "<b>$1</b>"), "<i>$1</i>")
	for _, n := range names {
		text = strings.Replace(text, "\x00", n, 1)
	}
	return text
}
