// Package ui is the seam between the wizard and the person: what is asked, not how
// it looks. Package tui draws it on a console, package line prints it for serial
// lines and braille, package answers takes the answers from a file. All three fill
// the same Page values, so that none of them can know a question the others lack.
package ui

import (
	"context"
	"errors"
	"fmt"
	"io"

	"reown/internal/secret"
	"reown/wizard/msg"
)

// UI asks and shows. Its methods are called from one goroutine at a time.
type UI interface {
	// Ask shows a page until the person picks a choice whose checks pass, and
	// returns that choice's ID (Back and Leave included, where the page allows
	// them). Input values are then in p.Inputs.
	Ask(ctx context.Context, p *Page) (string, error)
	// Watch shows the task list while work runs, and returns work's error. The
	// context given to work ends when the person asks for a pause; show may be
	// called from any goroutine and does not block.
	Watch(ctx context.Context, title string, work func(ctx context.Context, show func(Tasks)) error) error
}

// Choices that mean the same everywhere.
const (
	Continue = "continue"
	Back     = "back"
	Leave    = "leave"
)

// NoDefault is Page.Default where a choice must be picked on purpose.
const NoDefault = -1

// Page is one screen: one question, and why it is asked.
type Page struct {
	Key    string   // stable name, used in answers files, tests and the log
	Lang   msg.Lang // of the front end's own words
	Title  string
	Step   int // of Steps; 0: not numbered
	Steps  int
	Status string // second line: keyboard, power, clock

	Body []Block
	Live func() []Block // replaces Body, asked again every second

	Inputs []*Input
	// Check is called when a choice with Checks is picked; an error is shown and
	// the page stays. It may take seconds.
	Check func(ctx context.Context) error

	Choices []Choice
	Default int // index of the choice that has the focus; NoDefault: none, and Enter asks again
	NoBack  bool
	NoLeave bool
	Alarm   bool // a STOP page
	Trust   bool // what was typed before it is on the screen is no answer to it
	Help    string
	Details string
	// Leaving is what becomes of things where somebody leaves here; they are asked whether they want
	// that. "": nothing is lost, and nobody is asked.
	Leaving string
	// Wait says what the program does after this page, where that takes seconds, and
	// what is safe meanwhile; it is shown until the next page.
	Wait string

	// Preset is the answer of a run without a person when the answers file has
	// none: a choice ID. "" means that the answer must be given.
	Preset string
	// Made are the secrets this page shows for the first time; a run without a
	// person hands them to the owner by another way, or stops.
	Made []Named
	// Auto fills the inputs of a page that only proves that a person has read it
	// (type-back, six digits), for a run without a person.
	Auto func() error
}

// Named is a secret and the name under which it is handed over.
type Named struct {
	Key    string
	Secret *secret.Buffer
}

// Choice is one way on from a page.
type Choice struct {
	ID     string
	Label  string
	Key    int  // function key that picks it (6 for F6); 0: none
	Letter rune // its twin for terminals without function keys; 0: none
	Checks bool // inputs must be complete and Check must pass
}

// BlockKind says how a block looks.
type BlockKind int

// The kinds of blocks.
const (
	Text     BlockKind = iota // a paragraph, wrapped by the front end
	Strong                    // a paragraph that must not be missed
	Row                       // Mark, Label and Text in columns
	Gap                       // an empty line
	Words                     // Secret: words in numbered columns
	Code                      // Secret: characters in groups of four
	QR                        // Secret: as a QR code, or as Code where it cannot be drawn
	Verbatim                  // Text as it is, not wrapped
)

// Block is a piece of a page's body.
type Block struct {
	Kind   BlockKind
	Mark   Mark
	Label  string
	Text   string
	Secret *secret.Buffer // never copied by front ends
	// Hide takes the secret off the screen while the first input is not empty.
	Hide bool
}

// Mark is the sign before a row. It never stands for itself: the words say it too.
type Mark int

// The marks.
const (
	NoMark Mark = iota
	OK          // [OK]
	Bad         // [!!]
	Unsure      // [? ]
	Note        // [i ]
)

// String is the mark as it is printed, four columns of ASCII.
func (m Mark) String() string {
	switch m {
	case OK:
		return "[OK]"
	case Bad:
		return "[!!]"
	case Unsure:
		return "[? ]"
	case Note:
		return "[i ]"
	}
	return "    "
}

// Input is a line that is typed.
type Input struct {
	Key   string
	Label string
	Max   int // bytes; 0: 64

	Value  string         // what was typed, or the preset, when Secret is nil
	Secret *secret.Buffer // what was typed, when not nil: New(Max) with length 0; the page's owner wipes it

	Shown    bool // a secret that is shown while it is typed
	Digits   bool // only digits make sense
	Echo     bool // a keyboard test: shows what arrives, the value does not matter
	Optional bool
	Twice    bool // a new secret: typed twice, both must be the same
	// Gauge says something of what is being typed; nil: nothing.
	Gauge func(typed []byte) string
}

// Problem is an error in words for the person, already in their language.
type Problem string

func (p Problem) Error() string { return string(p) }

// LineError is a Problem with one line of a page.
type LineError struct {
	Input *Input
	Problem
}

func (e *LineError) Unwrap() error { return e.Problem }

// At is a problem with a line.
func At(in *Input, text string) error { return &LineError{in, Problem(text)} }

// TaskState is the state of a row in the task list.
type TaskState int

// The states.
const (
	NotStarted TaskState = iota
	InProgress
	Completed
	CannotStart
	Trouble
	NotNeeded
)

// Task is one row of the task list.
type Task struct {
	Title  string
	State  TaskState
	Status string // the state in words
	Detail string
	Bar    bool // Done of Total is worth a bar
	Done   int64
	Total  int64
}

// Tasks is the task list at a moment.
type Tasks struct {
	Lang     msg.Lang
	Tasks    []Task
	Notes    []string // what is safe to do now
	CanPause bool
	Elapsed  string
}

// ErrScreen says that the screen, or what is typed, came to its end while the wizard ran.
var ErrScreen = errors.New("the screen or terminal cannot be used any more")

// Ended is ErrScreen, and why. The end of the input is no reason that helps anybody.
func Ended(why error) error {
	if why == nil || errors.Is(why, io.EOF) {
		return ErrScreen
	}
	return fmt.Errorf("%w: %w", ErrScreen, why)
}

// ErrLeft says that the person left before anything was changed.
var ErrLeft = errors.New("left before anything was changed")

// MissingAnswerError says which answer a run without a person lacks.
type MissingAnswerError struct {
	Key string // as it stands in the answers file
	Why string
}

func (e *MissingAnswerError) Error() string {
	return fmt.Sprintf("the answer %q is missing: %s", e.Key, e.Why)
}

// BadAnswerError says which answer of a file was refused, and why.
type BadAnswerError struct {
	Key string
	Err error
}

func (e *BadAnswerError) Error() string { return fmt.Sprintf("the answer %q: %v", e.Key, e.Err) }
func (e *BadAnswerError) Unwrap() error { return e.Err }

// T is a paragraph.
func T(text string) Block { return Block{Kind: Text, Text: text} }

// S is a paragraph that must not be missed.
func S(text string) Block { return Block{Kind: Strong, Text: text} }

// R is a row.
func R(m Mark, label, text string) Block {
	return Block{Kind: Row, Mark: m, Label: label, Text: text}
}

// G is an empty line.
func G() Block { return Block{Kind: Gap} }
