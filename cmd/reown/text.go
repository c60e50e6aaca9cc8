package main

import (
	"context"
	"errors"
	"io/fs"
	"reflect"

	"reown/internal/secret"
	"reown/luks"
	"reown/wizard"
	"reown/wizard/msg"
)

// errorText tells a person what an error means. One row for every exported
// error of the packages; TestEveryErrorHasAText keeps the map total. The rows
// stand in text_<package>.go.
type errorText struct {
	err  error        // a sentinel, matched with errors.Is; or
	typ  reflect.Type // a pointer to a struct type, matched with errors.As
	What string       // what happened
	Data string       // what it means for the owner's data
	Do   string       // what to do now
	Exit int          // exit code; 0 means exitFailed

	about msg.M // what it is about, in the languages that have no text for each
}

// typeOf names an error struct in a row: typeOf[*gpgcard.PINError]().
func typeOf[T error]() reflect.Type { return reflect.TypeFor[T]() }

// texts is every row, the most particular first: the wizard's errors wrap the
// others'.
func texts() []errorText {
	var all []errorText
	for _, t := range []struct {
		rows  []errorText
		about msg.M
	}{{prepareTexts, msg.None}, {releaseTexts, msg.None}, {luksTexts, msg.AboutDisk}, {cardTexts, msg.AboutCard},
		{tpmTexts, msg.AboutTPM},
		{romTexts, msg.AboutChip}, {bootTexts, msg.AboutBoot}, {otpTexts, msg.AboutTPM}, {hotpTexts, msg.AboutCard},
		{stickTexts, msg.AboutStick},
		{wizardTexts, msg.None}, {generalTexts, msg.None}} {
		for _, r := range t.rows {
			r.about = t.about
			all = append(all, r)
		}
	}
	return all
}

var generalTexts = []errorText{
	{err: context.Canceled, What: "The work was stopped before it was finished.",
		Data: "Nothing is lost; every step can be continued.",
		Do:   "Run `reown resume`, or start the computer again and choose Continue.", Exit: exitStopped},
	{err: secret.ErrTooLong, What: "A file or input that should hold a passphrase or PIN is too long.",
		Data: "Nothing was changed.", Do: "Check that you named the right file; a passphrase has at most 4096 bytes."},
	{err: fs.ErrNotExist, What: "A file or device that is needed does not exist. The line above names it.", Data: stepData,
		Do: "Check the name, and that what it is on is mounted or plugged in."},
	{err: fs.ErrPermission, What: "This program is not allowed to open a file or device. The line above names it.",
		Data: stepData, Do: "Run the command as root."},
	{err: errNoTerminal, What: "There is no terminal at which questions could be asked.", Data: "Nothing was changed.",
		Do:   "Start it at a terminal. Without a person: --answers FILE; through a pipe, line by line: --ui line.",
		Exit: exitNoAnswer},
	{err: context.DeadlineExceeded, What: "A device did not answer in time.", Data: "Nothing is lost.",
		Do: "Unplug the device and plug it in again, then try once more."},
}

const stepData = "No step counts as done unless the machine shows it. Your files are as the last finished step left them."

// explain finds the text for an error. An error without a row still gets an
// honest answer.
func explain(err error) errorText {
	for _, t := range texts() {
		if t.matches(err) {
			if w := (*luks.WroteError)(nil); errors.As(err, &w) {
				t.Data = afterWriting(t.Data, w)
			}
			// In the middle of a run much has been changed.
			if step := (*wizard.StepError)(nil); errors.As(err, &step) &&
				(t.Data == nothingChanged || t.Data == untouched || t.Data == cardUntouched) {
				t.Data = stepData
			}
			return t
		}
	}
	return errorText{
		What: "Something failed that this program has no explanation for; the line above says what.",
		Data: stepData,
		Do:   "Run `reown status` to see the state of the machine, and `reown resume` to go on.",
	}
}

func (t errorText) matches(err error) bool {
	if t.err != nil {
		return errors.Is(err, t.err)
	}
	for e := err; e != nil; {
		if reflect.TypeOf(e) == t.typ {
			return true
		}
		switch u := e.(type) {
		case interface{ Unwrap() error }:
			e = u.Unwrap()
		case interface{ Unwrap() []error }:
			for _, x := range u.Unwrap() {
				if t.matches(x) {
					return true
				}
			}
			return false
		default:
			return false
		}
	}
	return false
}
