package wizard

import "strings"

// A place is a state of the conversation: a page that waits for an answer, a step that
// works, or an end. Nothing else is one, and only the table leads from one to another.
type place string

// The pages, by the names that answers files and tests use. Those that end with a dot
// are one page for each secret: see of.
const (
	pageLanguage  place = "language"
	pageCard      place = "card"
	pageTampering place = "tampering"
	pageClosing   place = "closing"
	pageResume    place = "resume"
	pageAnew      place = "anew"
	pageStart     place = "start"
	pageKeyboard  place = "keyboard"
	pageLayout    place = "layout"
	pageProblems  place = "problems"
	pageClock     place = "clock"
	pageVerify    place = "verify"
	pageStop      place = "stop"
	pageUnproven  place = "unproven"
	pageSeller    place = "seller"
	pageNames     place = "names"
	pageCurrent   place = "current"
	pageTry       place = "try"
	pageDUKLeft   place = "duk-left"
	pageDUK       place = "duk"
	pageBackup    place = "backup"
	pageStick     place = "stick"
	pageSecrets   place = "secrets"
	pageIdentity  place = "identity"
	pageDisks     place = "disks"
	pagePaper     place = "paper."
	pageChoose    place = "choose."
	pageMoves     place = "moves."
	pageRecord    place = "record."
	pageBlocked   place = "blocked"
	pageTOTP      place = "totp"
	pageTail      place = "tail"
	pageCheck     place = "check"
	pageChange    place = "change"
	pageEntry     place = "entry"
	pageReentry   place = "reentry" // the same, when the work has begun
	pagePlugSpare place = "plug.spare"
	pagePlugMain  place = "plug.main"
	pagePlugStick place = "plug.stick"
	pageSpare     place = "spare"
	pageFailed    place = "failed"
	pagePaused    place = "paused"
	pageRestart   place = "restart"
	pageDone      place = "done"
	pageCopy      place = "copy"
	pageCopied    place = "copied"
)

// The ends.
const (
	endLeft      place = "end left"      // before anything was changed in this start
	endPaused    place = "end paused"    // the next start goes on
	endStopped   place = "end stopped"   // it could not be shown whose computer it is
	endTampering place = "end tampering" // somebody has changed a machine that has an owner
	endRestart   place = "end restart"   // the next start does what this one cannot
	endFailed    place = "end failed"    // with an error
	endFinished  place = "end finished"
)

const (
	stepPrefix = "step "
	endPrefix  = "end "
)

// of is the page for one secret.
func (p place) of(kind string) place { return p + place(kind) }

// at is the place of a step.
func at(st Step) place { return place(stepPrefix + st.ID) }

func (p place) end() bool { return strings.HasPrefix(string(p), endPrefix) }

// step is the index of the step, or -1.
func (p place) step() int {
	if i, ok := steps[p]; ok {
		return i
	}
	return -1
}

// An event is what the front end, a step or the machine says.
type event int

// The events. The first three come with the arrival at a page, before it is shown.
const (
	evKnown    event = iota // was answered before: asked without a look at the machine
	evPass                  // the way there was forward: is it needed at all?
	evPassBack              // the same on the way back
	evAnswer                // the page's question is answered
	evBack                  // to the page before
	evLeave                 // the person goes away
	evAgain                 // the same page once more: another view, another look
	evAside                 // to a page beside the way
	evReturn                // and back from it
	evClock                 // the clock is wrong
	evStop                  // not sure, or no
	evUnproven              // on without a proof
	evJump                  // to the answer that is to be changed
	evGone                  // a device or the front end does not answer any more
	evDone                  // a step is done
	evLater                 // only another start can do it
	evWait                  // it waits for something to be plugged in
	evPaused                // it was stopped where it can go on
	evRestart               // it goes on after a restart
	evFailed                // it failed, or was cut
	events                  // how many there are
)

var eventNames = [events]string{"known", "pass", "pass back", "answer", "back", "leave", "again", "aside", "return",
	"clock", "stop",
	"unproven", "jump", "gone", "done", "later", "wait", "paused", "restart", "failed"}

func (e event) String() string { return eventNames[e] }
