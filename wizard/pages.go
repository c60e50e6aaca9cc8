package wizard

import (
	"context"

	"reown/wizard/ui"
)

// A page is how one question looks and what its answers mean. The three functions of a
// page never say where it leads: that stands in the table.
type page struct {
	chapter chapter
	leave   bool // may be left like any other
	// look measures and makes what the page shows; nil: nothing.
	look func(*flow, context.Context) error
	// draw makes the page of facts, answers and language, and changes nothing.
	draw func(*view) (*ui.Page, error)
	// took notes what was chosen, and says what that means. nil: it is the answer.
	took func(*flow, context.Context, *ui.Page, string) (event, error)
}

// pages are all of them.
var pages = makePages()

func makePages() map[place]page {
	all := map[place]page{
		pageLanguage:  {unnumbered, true, nil, drawLanguage, tookLanguage},
		pageCard:      {unnumbered, true, lookCard, drawCard, tookCard},
		pageTampering: {unnumbered, false, nil, drawTampering, tookTampering},
		pageClosing:   {unnumbered, true, nil, drawClosing, tookClosing},
		pageResume:    {unnumbered, true, lookResume, drawResume, tookResume},
		pageAnew:      {unnumbered, true, nil, drawAnew, tookAnew},
		pageStart:     {unnumbered, true, nil, drawStart, nil},
		pageKeyboard:  {chKeyboard, true, lookKeyboard, drawKeyboard, tookKeyboard},
		pageLayout:    {unnumbered, false, nil, drawLayout, tookLayout},
		pageProblems:  {chKeyboard, true, lookProblems, drawProblems, tookProblems},
		pageClock:     {unnumbered, true, nil, drawClock, tookClock},
		pageVerify:    {chMachine, true, lookVerify, drawVerify, tookVerify},
		pageStop:      {unnumbered, false, nil, drawStop, tookStop},
		pageUnproven:  {chMachine, true, nil, drawUnproven, tookUnproven},
		pageSeller:    {chMachine, true, lookHandover, drawSeller, tookSeller},
		pageCurrent:   {chHow, true, lookCurrent, drawCurrent, tookCurrent},
		pageDUKLeft:   {chHow, true, lookDUK, drawDUKLeft, nil},
		pageDUK:       {chHow, true, lookDUK, drawDUK, tookDUK},
		pageBackup:    {chHow, true, nil, drawBackup, tookBackup},
		pageStick:     {chHow, true, lookSticks, drawStick, tookStick},
		pageSecrets:   {chHow, true, nil, drawSecrets, tookSecrets},
		pageIdentity:  {chName, true, nil, drawIdentity, tookIdentity},
		pageDisks:     {chDisks, true, lookDisks, drawDisks, tookDisks},
		pageBlocked:   {unnumbered, true, nil, drawBlocked, tookBlocked},
		pageTOTP:      {chSecrets, true, lookTOTP, drawTOTP, tookTOTP},
		pageTail:      {chLast, true, nil, drawTail, tookTail},
		pageCheck:     {chLast, true, lookCheck, drawCheck, tookCheck},
		pageChange:    {chLast, true, lookBoot, drawChange, tookChange},
		pageEntry:     {chLast, true, lookEntry, drawEntry, tookEntry},
		pageReentry:   {unnumbered, false, lookEntry, drawEntry, tookEntry},
		pagePlugSpare: {unnumbered, false, nil, drawPlugSpare, tookPlugSpare},
		pagePlugMain:  {unnumbered, false, nil, drawPlugMain, tookPlugMain},
		pagePlugStick: {unnumbered, false, lookSticks, drawPlugStick, tookPlugStick},
		pageSpare:     {unnumbered, false, nil, drawSpare, tookSpare},
		pageFailed:    {unnumbered, false, lookFailed, drawFailed, tookFailed},
		pagePaused:    {unnumbered, false, nil, drawPaused, nil},
		pageRestart:   {unnumbered, false, lookOver, drawRestart, nil},
		pageDone:      {unnumbered, false, lookOver, drawDone, tookDone},
		pageCopy:      {unnumbered, false, lookSticks, drawCopy, tookCopy},
		pageCopied:    {unnumbered, false, nil, drawCopied, nil},
	}
	for _, id := range secretIDs {
		all[pagePaper.of(id)] = page{unnumbered, true, nil, drawPaper(id), tookPaper(id)}
		all[pageChoose.of(id)] = page{chSecrets, true, nil, drawChoose(id), tookChoose(id)}
		all[pageMoves.of(id)] = page{chSecrets, true, nil, drawMoves(id), tookMoves(id)}
		all[pageRecord.of(id)] = page{chSecrets, true, lookRecord(id), drawRecord(id), tookRecord(id)}
	}
	return all
}
