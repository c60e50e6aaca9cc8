package main

import (
	"context"
	"errors"
	"strings"

	"reown/gpgcard"
	"reown/wizard"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

// Somebody at the wizard reads an error in their language. English has a text for each; the others
// have one for each device, and one for each error that is about what the person does.

// spoken are these, in any language but English, where they are not what their device's are.
var spoken = []struct {
	err            error
	what, data, do msg.M
}{
	{wizard.ErrNoCard, msg.ProblemCard, msg.DataSame, msg.RemedyCard},
	{wizard.ErrSeveralCards, msg.PlugSeveral, msg.DataSame, msg.ErrorLeftDo},
	{wizard.ErrExchanged, msg.ErrorExchanged, msg.DataStep, msg.ErrorExchangedDo},
	{gpgcard.ErrRemoved, msg.ErrorPulled, msg.DataSame, msg.ErrorPlugDo},
	{gpgcard.ErrBusy, msg.ErrorBusy, msg.DataSame, msg.ErrorPlugDo},
	{gpgcard.ErrUnanswered, msg.ErrorUnanswered, msg.DataSame, msg.ErrorPlugDo},
	{gpgcard.ErrTouch, msg.ErrorTouch, msg.DataSame, msg.ErrorTouchDo},
	{wizard.ErrNoStick, msg.StickNone, msg.DataSame, msg.ErrorLeftDo},
	{wizard.ErrWrongSecret, msg.ErrorSecret, msg.DataSame, msg.ErrorSecretDo},
	{wizard.ErrPowerUnreliable, msg.ErrorPowerCut, msg.DataSame, msg.RemedyPower},
	{wizard.ErrPaused, msg.ErrorPaused, msg.ErrorPausedData, msg.DoContinue},
	{context.Canceled, msg.ErrorPaused, msg.ErrorPausedData, msg.DoContinue},
	{wizard.ErrRestart, msg.RestartTitle, msg.ErrorPausedData, msg.DoContinue},
	{wizard.ErrTampering, msg.TamperingTitle, msg.TamperingData, msg.StopNoSecrets},
	{wizard.ErrNotVerified, msg.StopNothing, msg.DataSame, msg.StopContact},
	{ui.ErrLeft, msg.ErrorLeft, msg.DataSame, msg.ErrorLeftDo},
	{ui.ErrScreen, msg.ErrorScreen, msg.DataStep, msg.DoContinue},
}

// explainIn is explain in a language.
func explainIn(err error, l msg.Lang) (what, data, do string) {
	t := explain(err)
	if l == msg.EN {
		return t.What, t.Data, t.Do
	}
	var step *wizard.StepError
	inRun := errors.As(err, &step)
	for _, s := range spoken {
		if errors.Is(err, s.err) {
			if inRun && s.data == msg.DataSame {
				s.data = msg.DataStep
			}
			return s.what.In(l), s.data.In(l), s.do.In(l)
		}
	}
	about, same, next := t.about, msg.DataStep, msg.DoAgain
	if about == msg.None {
		about = msg.AboutRun
	}
	if !inRun && strings.HasPrefix(t.Data, "Nothing ") {
		same = msg.DataSame
	}
	if t.Exit == exitNotVerified {
		next = msg.DoNoSecret
	}
	return about.In(l), same.In(l), next.In(l)
}

// saidError is an error at the end of a conversation in another language.
type saidError struct {
	error
	lang msg.Lang
}

func (e *saidError) Unwrap() error { return e.error }

// farewell is what is printed of an error after the wizard: lines in one language.
func farewell(err error, l msg.Lang) []string {
	what, data, do := explainIn(err, l)
	lines := []string{what, data, do}
	for _, known := range spoken {
		if errors.Is(err, known.err) {
			return lines // nothing that a helper would need
		}
	}
	return append(lines, msg.Technical.In(l, err.Error()))
}
