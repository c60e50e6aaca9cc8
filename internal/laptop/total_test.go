package laptop

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"reown/gpgcard"
	"reown/internal/escape"
	"reown/internal/rom"
	"reown/internal/rom/flash"
	"reown/wizard"
)

// A verdict on an error kind of a device: what finds it before the first change, or why it
// can only come later.
type verdict struct {
	err  error       // an example, whose kind of problem is
	kind wizard.Kind // this one
	only string      // or: why only at run time, or who else looks at it before
}

// verdicts are all kinds of the security key, the firmware image and the flash chip.
var verdicts = map[string]verdict{
	// Found by the card's own rehearsal (gpgcard.Card.Rehearse).
	"gpgcard.ErrNoReset":       {err: gpgcard.ErrNoReset, kind: wizard.CardNoReset},
	"gpgcard.ErrNotImportable": {err: gpgcard.ErrNotImportable, kind: wizard.CardImport},
	"gpgcard.ErrTooLarge":      {err: gpgcard.ErrTooLarge, kind: wizard.CardImport},
	"gpgcard.ErrBadIdentity":   {err: gpgcard.ErrBadIdentity, kind: wizard.CardName},
	"gpgcard.PINLengthError":   {err: &gpgcard.PINLengthError{}, kind: wizard.CardPIN},
	"gpgcard.AlgorithmError":   {err: &gpgcard.AlgorithmError{}, kind: wizard.CardAlgorithm},
	// Looked at before by something else.
	"gpgcard.ErrNoReader":        {only: "before: Info is wizard.ErrNoCard, which is CardMissing"},
	"gpgcard.ErrNoCard":          {only: "before: Info is wizard.ErrNoCard, which is CardMissing"},
	"gpgcard.ErrSeveralCards":    {only: "before: Info is wizard.ErrSeveralCards, which is Unreadable"},
	"gpgcard.ErrNoApplet":        {only: "before: such a card is no card for Info"},
	"gpgcard.ErrBusy":            {only: "before: Info fails, which is Unreadable"},
	"gpgcard.ErrMalformed":       {only: "before where a reading has it, which is Unreadable; otherwise a card that fails"},
	"gpgcard.ClockError":         {only: "before: WrongClock, by the same moment"},
	"gpgcard.ErrTerminated":      {only: "before: Info tells it; KnownCard ends the reset, which a run has to make anyway"},
	"gpgcard.ErrNoKDF":           {only: "no run hashes PINs; Rehearse finds it for who does"},
	"gpgcard.ErrNoTouch":         {only: "no run sets a touch policy"},
	"gpgcard.ErrTouchFixed":      {only: "no run sets a touch policy; a reset ends it"},
	"gpgcard.ErrWrongPassphrase": {only: "no run reads a backup"},
	"gpgcard.ErrBadCert":         {only: "before: the verification of what is there"},
	"gpgcard.UnusableKeysError":  {only: "before: the verification of what is there; the other keys count"},
	"gpgcard.ErrBlocked":         {only: "a reset gives the tries back; later: somebody else's wrong PINs"},
	"gpgcard.ErrLastTry":         {only: "a reset gives the tries back; later: somebody else's wrong PINs"},
	"gpgcard.PINError":           {only: "a reset sets the factory PINs; later: a wrong PIN from paper"},
	"gpgcard.ErrNoKey":           {only: "a run makes the keys first; later: another card"},
	"gpgcard.ErrKeyMismatch":     {only: "what a cut leaves, and the step makes anew"},
	"gpgcard.ErrFalseKey":        {only: "the card is exchanged in the run"},
	"gpgcard.ErrWrongCard":       {only: "the card is exchanged in the run"},
	"gpgcard.ErrRemoved":         {only: "unplugged"},
	"gpgcard.ErrUnanswered":      {only: "a card that fails"},
	"gpgcard.ErrTouch":           {only: "nobody has touched it in time"},
	"gpgcard.ErrResetFailed":     {only: "a card that fails: only the reset tells"},
	"gpgcard.ErrPINNeeded":       {only: "a card that forgets a PIN; asked for again where cards do"},
	"gpgcard.ErrBadSignature":    {only: "a card that fails, or tampering"},
	"gpgcard.HalfSetError":       {only: "a card that refuses a PIN of a length that it says it takes"},
	"gpgcard.StatusError":        {only: "a card that fails, or a refusal that no card is known for"},
	// The image.
	"rom.ErrUnknownLayout": {err: rom.ErrUnknownLayout, kind: wizard.ChipLayout},
	"rom.ErrVerified":      {err: rom.ErrVerified, kind: wizard.ChipLayout},
	"rom.ErrNotMeasurable": {err: rom.ErrNotMeasurable, kind: wizard.ChipLayout},
	"rom.ErrUnsafeChange":  {err: rom.ErrUnsafeChange, kind: wizard.ChipLayout},
	"rom.ErrNoSpace":       {err: rom.ErrNoSpace, kind: wizard.ChipFull},
	"rom.ErrNotFound":      {only: "no run names a file that need not be there"},
	"rom.ErrExists":        {only: "no run adds a file beside another of its name"},
	"rom.ErrBadName":       {only: "a run's names are the program's own"},
	"rom.ErrBadSetting":    {only: "a run's settings are the program's own"},
	// The chip.
	"flash.ErrLocked":         {err: flash.ErrLocked, kind: wizard.ChipLocked},
	"flash.ErrNoChip":         {err: flash.ErrNoChip, kind: wizard.ChipUnread},
	"flash.ErrOption":         {err: flash.ErrOption, kind: wizard.ChipUnread},
	"flash.ErrRoom":           {err: flash.ErrRoom, kind: wizard.ChipUnread},
	"flash.ErrNotInstalled":   {err: flash.ErrNotInstalled, kind: wizard.ChipUnread},
	"flash.ErrNoProgram":      {err: flash.ErrNoProgram, kind: wizard.ChipUnread},
	"flash.ErrUnstable":       {err: flash.ErrUnstable, kind: wizard.ChipUnread},
	"flash.SeveralChipsError": {err: &flash.SeveralChipsError{}, kind: wizard.ChipSeveral},
	"flash.ErrKilled":         {only: "somebody kills it, or there is no memory at that moment"},
	"flash.ErrChanged":        {only: "something else writes to the chip in the run"},
	"flash.ErrRestored":       {only: "a chip that does not take what is written"},
	"flash.ErrDamaged":        {only: "a chip that does not take what is written"},
	"flash.ErrPartial":        {only: "of backups by hand, which say what they lack"},
}

// TestEveryKindIsRehearsed: each exported error of these packages is found before the first
// change, as a problem with remedies, or it is written down why it cannot be.
func TestEveryKindIsRehearsed(t *testing.T) {
	seen := map[string]bool{}
	for pkg, dir := range map[string]string{"gpgcard": "../../gpgcard", "rom": "../rom", "flash": "../rom/flash"} {
		for _, name := range exported(t, dir) {
			name = pkg + "." + name
			seen[name] = true
			v, ok := verdicts[name]
			switch {
			case !ok:
				t.Errorf("%s has neither a rehearsal nor a reason", name)
			case (v.kind == "") == (v.only == ""):
				t.Errorf("%s: %+v", name, v)
			case v.kind == "":
			case pkg == "gpgcard":
				if f := refusedByCard(gpgcard.Info{Manufacturer: "Nitrokey"}, v.err); f.Kind != v.kind {
					t.Errorf("%s is %q", name, f.Kind)
				}
			default:
				if f := refusal(v.err, escape.Text(v.err.Error())); f == nil || f.Kind != v.kind {
					t.Errorf("%s is %+v", name, f)
				}
			}
		}
	}
	for name := range verdicts {
		if !seen[name] {
			t.Errorf("%s is no more", name)
		}
	}
}

// exported are the exported error variables and error types of a package.
func exported(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatal(dir, err, fs.ErrNotExist)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range f.Decls {
			switch d := decl.(type) {
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if v, ok := s.(*ast.ValueSpec); ok && d.Tok == token.VAR {
						for _, id := range v.Names {
							if strings.HasPrefix(id.Name, "Err") {
								names = append(names, id.Name)
							}
						}
					}
				}
			case *ast.FuncDecl:
				if d.Recv == nil || d.Name.Name != "Error" {
					continue
				}
				typ := d.Recv.List[0].Type
				if s, ok := typ.(*ast.StarExpr); ok {
					typ = s.X
				}
				if id, ok := typ.(*ast.Ident); ok && id.IsExported() {
					names = append(names, id.Name)
				}
			}
		}
	}
	return names
}
