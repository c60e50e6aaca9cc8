package wizard

import "slices"

// A row of the table: at from, when on happens and the guard holds, the way leads to to.
// Of several rows that match the first counts.
type row struct {
	from place
	on   event
	when guard // zero: always
	to   place
}

// chapter is what the person is told as "step 3 of 7".
type chapter int

// The chapters of the questions. Their numbers are those of the order in which the way
// of a delivered machine comes to them.
const (
	unnumbered chapter = iota
	chKeyboard
	chMachine
	chHow
	chName
	chDisks
	chSecrets
	chLast
)

// onTheWay are the questions to the owner of a machine that was delivered, in order.
func onTheWay() []place {
	way := []place{pageStart, pageKeyboard, pageProblems, pageVerify, pageSeller, pageNames, pageCurrent, pageDUKLeft,
		pageDUK, pageBackup, pageStick,
		pageSecrets, pageIdentity, pageDisks}
	return append(append(way, secretPlaces(false)...), pageTOTP, pageTail, pageCheck)
}

// onTheWayBack are the questions to one who comes back to an interrupted run.
func onTheWayBack() []place {
	first := []place{pagePaper.of(kindDisk), pagePaper.of(kindOwner)} // whose run it is
	way := append(append([]place{pageResume, pageKeyboard}, first...), pageVerify, pageSeller, pageNames, pageProblems,
		pageCurrent, pageDUKLeft, pageDUK,
		pageBackup, pageStick, pageSecrets)
	for _, p := range secretPlaces(true) {
		if !slices.Contains(first, p) {
			way = append(way, p)
		}
	}
	return append(way, pageTOTP)
}

// onPaper are the secrets that an earlier start may have set.
var onPaper = []string{kindDisk, kindUser, kindAdmin, kindOwner}

func papers() (all []place) {
	for _, k := range onPaper {
		all = append(all, pagePaper.of(k))
	}
	return all
}

// secretPlaces are the pages for the secrets: of those for each one is needed at most.
func secretPlaces(begun bool) (all []place) {
	for _, k := range secretIDs {
		if begun && slices.Contains(onPaper, k) {
			all = append(all, pagePaper.of(k))
		}
		all = append(all, pageChoose.of(k), pageRecord.of(k))
	}
	return all
}

var (
	table = makeTable()
	rows  = byPlace(table)
	steps = stepIndex()
	asked = append(onTheWay(), papers()...)
)

// byPlace is the table by where its rows lead from.
func byPlace(t []row) map[place][]row {
	all := map[place][]row{}
	for _, r := range t {
		all[r.from] = append(all[r.from], r)
	}
	return all
}

func stepIndex() map[place]int {
	all := map[place]int{}
	for i, st := range Steps() {
		all[at(st)] = i
	}
	return all
}

// makeTable is the whole run.
func makeTable() []row {
	first := at(Steps()[0])
	t := []row{
		{pageLanguage, evPass, languageSaid, pageCard},
		{pageLanguage, evAnswer, toChange(pageLanguage), pageCheck},
		{pageLanguage, evAnswer, always, pageCard},
		{pageCard, evPass, cardThere, pageTampering},
		{pageCard, evAgain, always, pageCard},
		{pageTampering, evPass, explained, pageClosing},
		{pageTampering, evAnswer, always, endFinished},
		{pageTampering, evLeave, always, endTampering},
		{pageClosing, evPass, notClosing, pageResume},
		{pageClosing, evAnswer, always, endFinished},
		{pageResume, evPass, delivered, pageStart},
	}
	t = append(t, sequence(delivered, onTheWay(), first)...)
	t = append(t, sequence(resuming, onTheWayBack(), first)...)
	t = append(t, asides()...)
	t = append(t, stepRows(first)...)
	for _, p := range places() { // what is so everywhere
		if p.end() {
			continue
		}
		if p != pagePaused && (p.step() < 0 || p == first) { // a step says itself that it failed
			t = append(t, row{p, evGone, always, endFailed})
		}
		switch pages[p].leave {
		case leavesNew:
			t = append(t, row{p, evLeave, always, endLeft})
		case leavesBegun:
			t = append(t, row{p, evLeave, always, endPaused})
		case leaves:
			t = append(t, row{p, evLeave, resuming, endPaused}, row{p, evLeave, always, endLeft})
		}
	}
	return t
}

// sequence are the rows of questions that follow each other, and past those that are not needed.
func sequence(when guard, way []place, then place) (t []row) {
	for i, p := range way {
		next := then
		if i+1 < len(way) {
			next = way[i+1]
		}
		if i > 0 && i+1 < len(way) && p != pageProblems {
			t = append(t, row{p, evKnown, both(when, answered(p)), next})
		}
		if no, ok := notNeeded[p]; ok && !(when.name == delivered.name && begunOnly[p]) {
			t = append(t, row{p, evPass, both(when, no), next})
			if i+1 < len(way) { // from the work nothing leads back
				t = append(t, row{p, evPassBack, both(when, no), way[max(i-1, 0)]})
			}
		}
		if p != pageProblems { // it is passed once there are none
			t = append(t, row{p, evAnswer, when, next})
		}
		if i > 1 || i == 1 && when.name == delivered.name {
			t = append(t, row{p, evBack, when, way[i-1]})
		}
	}
	return t
}

// begunOnly are pages that a machine on which nothing was begun always needs.
var begunOnly = map[place]bool{pageVerify: true, pageSecrets: true}

// asides are the pages beside the way.
func asides() []row {
	t := []row{
		{pageKeyboard, evAgain, always, pageKeyboard},
		{pageKeyboard, evAside, always, pageLayout},
		{pageLayout, evReturn, always, pageKeyboard},
		{pageProblems, evAgain, always, pageProblems},
		{pageProblems, evClock, always, pageClock},
		{pageTOTP, evAgain, always, pageTOTP},
		{pageTOTP, evClock, always, pageClock},
		{pageStop, evClock, always, pageClock},
		{pageStop, evStop, always, endStopped},
		{pageVerify, evStop, always, pageStop},
		{pageVerify, evUnproven, always, pageUnproven},
		{pageSeller, evStop, always, pageStop},
		{pageResume, evAside, always, pageAnew},
		{pageAnew, evReturn, always, pageResume},
		{pageAnew, evBack, always, pageResume},
		{pageUnproven, evAnswer, always, pageSeller},
		{pageCurrent, evAgain, always, pageCurrent},
		{pageCurrent, evAside, always, pageTry},
		{pageTry, evReturn, always, pageCurrent},
		{pageTry, evBack, always, pageCurrent},
		{pageStick, evAgain, always, pageStick},
		{pageDisks, evAgain, always, pageDisks},
		{pageDisks, evJump, always, pageCurrent},
		{pageBlocked, evJump, always, pageResume},
		{pageCheck, evAside, always, pageChange},
		{pageCheck, evAgain, always, pageCheck},
		{pageChange, evBack, always, pageCheck},
		{pageChange, evAside, always, pageEntry},
		{pageProblems, evAside, always, pageEntry},
		{pageResume, evJump, always, pageEntry},
		{pageEntry, evAgain, always, pageEntry},
	}
	for _, p := range []place{pageProblems, pageResume, pageCheck} {
		t = append(t, row{pageEntry, evReturn, cameFrom(p), p}, row{pageEntry, evBack, cameFrom(p), p})
	}
	// Back to where one came from.
	for _, p := range []place{pageProblems, pageTOTP, pageVerify, pageSeller} {
		t = append(t, row{pageClock, evBack, cameFrom(p), p}, row{pageClock, evReturn, cameFrom(p), p})
	}
	for _, p := range []place{pageVerify, pageSeller} {
		t = append(t, row{pageStop, evBack, cameFrom(p), p})
	}
	t = append(t, row{pageUnproven, evBack, cameFrom(pageVerify), pageVerify})
	for _, p := range []place{pageSecrets, pageIdentity, pageKeyboard, pageBackup, pageDisks, pageDUK, pageTOTP,
		pageLanguage} {
		t = append(t, row{pageChange, evJump, toChange(p), p})
	}
	for _, k := range secretIDs {
		paper, choose, moves, record := pagePaper.of(k), pageChoose.of(k), pageMoves.of(k), pageRecord.of(k)
		t = append(t, row{choose, evAside, always, moves}, row{moves, evBack, always, choose},
			row{moves, evReturn, always, choose},
			row{record, evAgain, always, record}, row{record, evAside, always, choose}, row{choose, evReturn, always, record})
		if stop, ok := noTriesLeft[k]; ok {
			t = append(t, row{paper, evPass, stop, pageBlocked})
		}
	}
	return append(t, keptRows()...)
}

// keptRows lead on from a secret that is kept although its characters move: to where its
// own page would have led.
func keptRows() (t []row) {
	for i, way := range [][]place{onTheWay(), onTheWayBack()} {
		for n, p := range way {
			for _, k := range secretIDs {
				if p == pageChoose.of(k) {
					t = append(t, row{pageMoves.of(k), evAnswer, []guard{delivered, resuming}[i], way[n+1]})
				}
			}
		}
	}
	return t
}

// stepRows are the work: the steps in their order, and what interrupts them. After an
// interruption they are measured again from the first on.
func stepRows(first place) (t []row) {
	all := Steps()
	for i, st := range all {
		p := at(st)
		if i+1 < len(all) {
			t = append(t, row{p, evDone, always, at(all[i+1])})
			if st.Late {
				t = append(t, row{p, evLater, always, at(all[i+1])})
			}
		} else {
			t = append(t, row{p, evDone, putOff, pageRestart}, row{p, evDone, always, pageDone},
				row{p, evLater, always, pageRestart})
		}
		if st.Waits {
			for _, plug := range []place{pagePlugSpare, pagePlugMain, pagePlugStick} {
				t = append(t, row{p, evWait, waitsFor(plug), plug})
			}
		}
		t = append(t, row{p, evPaused, always, pagePaused}, row{p, evRestart, always, pageRestart},
			row{p, evFailed, always, pageFailed})
	}
	return append(t,
		row{pagePlugSpare, evAside, always, pageSpare},
		row{pagePlugSpare, evAnswer, always, first},
		row{pagePlugMain, evAnswer, always, first},
		row{pagePlugStick, evAgain, always, pagePlugStick},
		row{pagePlugStick, evAnswer, always, first},
		row{pageSpare, evAnswer, always, first},
		row{pagePlugSpare, evLeave, always, endPaused},
		row{pagePlugMain, evLeave, always, endPaused},
		row{pagePlugStick, evLeave, always, endPaused},
		row{pageSpare, evLeave, always, endPaused},
		row{pageFailed, evAnswer, always, first},
		row{pageFailed, evAside, always, pageReentry},
		row{pageReentry, evAgain, always, pageReentry},
		row{pageReentry, evAnswer, always, first},
		row{pageReentry, evBack, always, pageFailed},
		row{pageReentry, evLeave, always, endFailed},
		row{pageFailed, evStop, always, endFailed},
		row{pageFailed, evLeave, always, endFailed},
		row{pagePaused, evAnswer, always, first},
		row{pagePaused, evStop, always, endPaused},
		row{pagePaused, evGone, always, endPaused},
		row{pageRestart, evAnswer, always, endRestart},
		row{pageDone, evPass, shownBefore, endFinished},
		row{pageDone, evAnswer, always, endFinished},
		row{pageDone, evAside, always, pageCopy},
		row{pageCopy, evAgain, always, pageCopy},
		row{pageCopy, evAnswer, always, pageCopied},
		row{pageCopy, evReturn, always, endFinished},
		row{pageCopy, evLeave, always, endFinished},
		row{pageCopied, evAnswer, always, endFinished},
	)
}

// next is where an event leads; false: nowhere from here.
func (v *view) next(on event) (row, bool) {
	for _, r := range rows[v.at] {
		if r.on == on && (r.when.holds == nil || r.when.holds(v)) {
			return r, true
		}
	}
	return row{}, false
}

// places are all of them, the steps in their order.
func places() []place {
	all := []place{pageLanguage, pageCard, pageTampering, pageClosing, pageResume, pageAnew}
	all = append(append(all, onTheWay()...), papers()...)
	for _, k := range secretIDs {
		all = append(all, pageMoves.of(k))
	}
	all = append(all, pageLayout, pageClock, pageStop, pageUnproven, pageTry, pageBlocked, pageChange, pageEntry)
	for _, st := range Steps() {
		all = append(all, at(st))
	}
	return append(all, pagePlugSpare, pagePlugMain, pagePlugStick, pageSpare, pageFailed, pageReentry, pagePaused,
		pageRestart, pageDone, pageCopy, pageCopied,
		endLeft, endPaused, endStopped, endTampering, endRestart, endFailed, endFinished)
}

// number is which of how many chapters a page belongs to; 0, 0 for none.
func number(p place) (n, of int) {
	var seen []chapter
	for _, q := range onTheWay() {
		if c := pages[q].chapter; c != unnumbered && !slices.Contains(seen, c) {
			seen = append(seen, c)
		}
	}
	if n = slices.Index(seen, pages[p].chapter) + 1; n == 0 {
		return 0, 0
	}
	return n, len(seen)
}
