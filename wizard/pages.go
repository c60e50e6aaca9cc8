package wizard

import (
	"context"

	"reown/wizard/ui"
)

// A page is how one question looks and what its answers mean. The three functions of a
// page never say where it leads: that stands in the table.
type page struct {
	chapter chapter
	leave   leaving
	// look measures and makes what the page shows; nil: nothing.
	look func(*flow, context.Context) error
	// draw makes the page of facts, answers and language, and changes nothing.
	draw func(*view) (*ui.Page, error)
	// took notes what was chosen, and says what that means. nil: it is the answer.
	took func(*flow, context.Context, *ui.Page, string) (event, error)
}

// leaving is what it means that the person goes away.
type leaving int

const (
	stays       leaving = iota // a page of its own says what that means
	leaves                     // by whether a run was begun
	leavesNew                  // nothing was begun
	leavesBegun                // a run was
)

// pages are all of them.
var pages = makePages()

func makePages() map[place]page {
	all := map[place]page{
		pageLanguage:  {unnumbered, leavesNew, nil, drawLanguage, tookLanguage},
		pageCard:      {unnumbered, leavesNew, lookCard, drawCard, tookCard},
		pageTampering: {unnumbered, stays, nil, drawTampering, tookTampering},
		pageClosing:   {unnumbered, leavesBegun, nil, drawClosing, tookClosing},
		pageResume:    {unnumbered, leavesBegun, lookResume, drawResume, tookResume},
		pageAnew:      {unnumbered, leavesBegun, nil, drawAnew, tookAnew},
		pageStart:     {unnumbered, leavesNew, nil, drawStart, nil},
		pageKeyboard:  {chKeyboard, leaves, lookKeyboard, drawKeyboard, tookKeyboard},
		pageLayout:    {unnumbered, stays, nil, drawLayout, tookLayout},
		pageProblems:  {chKeyboard, leaves, lookProblems, drawProblems, tookProblems},
		pageClock:     {unnumbered, leaves, nil, drawClock, tookClock},
		pageVerify:    {chMachine, leaves, lookVerify, drawVerify, tookVerify},
		pageStop:      {unnumbered, stays, nil, drawStop, tookStop},
		pageUnproven:  {chMachine, leaves, nil, drawUnproven, tookUnproven},
		pageSeller:    {chMachine, leaves, lookHandover, drawSeller, tookSeller},
		pageNames:     {chMachine, leaves, lookHandover, drawNames, tookNames},
		pageCurrent:   {chHow, leaves, lookCurrent, drawCurrent, tookCurrent},
		pageTry:       {chHow, leavesNew, nil, drawTry, tookTry},
		pageDUKLeft:   {chHow, leaves, lookDUK, drawDUKLeft, nil},
		pageDUK:       {chHow, leaves, lookDUK, drawDUK, tookDUK},
		pageBackup:    {chHow, leaves, nil, drawBackup, tookBackup},
		pageStick:     {chHow, leaves, lookSticks, drawStick, tookStick},
		pageSecrets:   {chHow, leaves, nil, drawSecrets, tookSecrets},
		pageIdentity:  {chName, leavesNew, nil, drawIdentity, tookIdentity},
		pageDisks:     {chDisks, leavesNew, lookDisks, drawDisks, tookDisks},
		pageBlocked:   {unnumbered, leavesBegun, nil, drawBlocked, tookBlocked},
		pageTOTP:      {chSecrets, leaves, lookTOTP, drawTOTP, tookTOTP},
		pageTail:      {chLast, leavesNew, nil, drawTail, tookTail},
		pageCheck:     {chLast, leavesNew, lookCheck, drawCheck, tookCheck},
		pageChange:    {chLast, leavesNew, lookBoot, drawChange, tookChange},
		pageEntry:     {chLast, leaves, lookEntry, drawEntry, tookEntry},
		pageReentry:   {unnumbered, stays, lookEntry, drawEntry, tookEntry},
		pagePlugSpare: {unnumbered, stays, nil, drawPlugSpare, tookPlugSpare},
		pagePlugMain:  {unnumbered, stays, nil, drawPlugMain, tookPlugMain},
		pagePlugStick: {unnumbered, stays, lookSticks, drawPlugStick, tookPlugStick},
		pageSpare:     {unnumbered, stays, nil, drawSpare, tookSpare},
		pageFailed:    {unnumbered, stays, lookFailed, drawFailed, tookFailed},
		pagePaused:    {unnumbered, stays, nil, drawPaused, tookPaused},
		pageRestart:   {unnumbered, stays, lookOver, drawRestart, nil},
		pageDone:      {unnumbered, stays, lookOver, drawDone, tookDone},
		pageCopy:      {unnumbered, stays, lookSticks, drawCopy, tookCopy},
		pageCopied:    {unnumbered, stays, nil, drawCopied, nil},
	}
	for _, id := range onPaper {
		all[pagePaper.of(id)] = page{unnumbered, leavesBegun, nil, drawPaper(id), tookPaper(id)}
	}
	for _, id := range secretIDs {
		all[pageChoose.of(id)] = page{chSecrets, leaves, nil, drawChoose(id), tookChoose(id)}
		all[pageMoves.of(id)] = page{chSecrets, leaves, nil, drawMoves(id), tookMoves(id)}
		all[pageRecord.of(id)] = page{chSecrets, leaves, lookRecord(id), drawRecord(id), tookRecord(id)}
	}
	return all
}
