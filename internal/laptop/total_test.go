package laptop

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"reown/boot"
	"reown/gpgcard"
	"reown/internal/escape"
	"reown/internal/rom"
	"reown/internal/rom/flash"
	"reown/tpm"
	"reown/wizard"
)

// A verdict on an error kind of a device: what finds it before the first change, or why it
// can only come later.
type verdict struct {
	err  error       // an example, whose kind of problem is
	kind wizard.Kind // this one
	only string      // or: why only at run time, or who else looks at it before
}

// verdicts are all kinds of the security key, the firmware image, the flash chip, the TPM, the start files and
// the stick.
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
	// The TPM. What Rehearse asks has a kind.
	"tpm.ErrNoBank":           {err: tpm.ErrNoBank, kind: wizard.TPMBank},
	"tpm.ErrNoKeyType":        {err: tpm.ErrNoKeyType, kind: wizard.TPMKeyType},
	"tpm.ErrFewSlots":         {err: tpm.ErrFewSlots, kind: wizard.TPMSlots},
	"tpm.ErrNVFull":           {err: tpm.ErrNVFull, kind: wizard.TPMRoom},
	"tpm.ErrPresence":         {err: tpm.ErrPresence, kind: wizard.TPMPresence},
	"tpm.ErrPlatformLocked":   {err: tpm.ErrPlatformLocked, kind: wizard.TPMLocked},
	"tpm.ErrNoEndorsementKey": {err: tpm.ErrNoEndorsementKey, kind: wizard.TPMNoEK},
	"tpm.ErrNoTPM":            {only: "before: Info fails, which is Unreadable"},
	"tpm.ErrBusy":             {only: "before: Info fails, which is Unreadable"},
	"tpm.ErrNotStarted":       {only: "before: Info fails, which is Unreadable"},
	"tpm.ErrBroken":           {only: "before: Info fails, which is Unreadable"},
	"tpm.ErrProtocol":         {only: "a chip that fails, or somebody on its bus"},
	"tpm.ErrTampered":         {only: "somebody on its bus"},
	"tpm.ErrSwitchedOff":      {only: "a TPM 1.2: the step switches it on before it clears anything"},
	"tpm.ErrRestartNeeded":    {only: "a TPM 1.2: the step asks for a restart, and has cleared nothing"},
	"tpm.ErrGuessingRule":     {only: "stops nothing: the run goes on without, as Heads does"},
	"tpm.ErrNotSetUp":         {only: "the step makes the storage root; later: somebody has cleared it"},
	"tpm.ErrWrongOwner":       {only: "the step sets the passphrase; later: a wrong one from paper"},
	"tpm.ErrWrongPassphrase":  {only: "the step sets it; later: a wrong one from paper"},
	"tpm.ErrBadPassphrase":    {only: "before: the page that asks for one refuses it"},
	"tpm.ErrPCRMismatch":      {only: "what was sealed is made anew by the run; later: another start"},
	"tpm.ErrNotSealed":        {only: "no run unseals what it has not sealed"},
	"tpm.ErrNoCounter":        {only: "the step makes it; later: somebody has removed it"},
	"tpm.ErrCounterBusy":      {only: "a TPM 1.2 takes one counter a start: the step asks for a restart"},
	"tpm.ErrTooLarge":         {only: "a run's secrets have sizes of its own"},
	"tpm.ErrWait":             {only: "asked again for 30 s a command; then a chip that fails"},
	"tpm.LockoutError":        {only: "clearing ends it; later: somebody's wrong passphrases"},
	"tpm.CommandError":        {only: "a chip that fails, or a refusal that no chip is known for"},
	"tpm.ReadingError":        {only: "before: the verification of what is promised"},
	"tpm.ErrNoAnchor":         {only: "the step makes it; later: somebody has cleared the TPM"},
	"tpm.ErrNoAnchorHere":     {only: "a TPM 1.2 without nvLocked has none, and the card's count is asked alone"},
	"tpm.ErrAnchorForeign":    {only: "the step removes a stranger's; later: somebody has made another"},
	"tpm.ErrAnchorClosed":     {only: "a run that is over does not go on"},
	"tpm.ErrAnchorOrder":      {only: "a run goes forward only"},
	"tpm.ErrNoEventLog":       {only: "stops nothing: the sealing waits for the next start"},
	"tpm.ErrBadEventLog":      {only: "stops nothing: the sealing waits for the next start"},
	"tpm.ErrEventLogMismatch": {only: "stops nothing: the sealing waits for the next start"},
	// The start files, rehearsed as a whole set and by a trial.
	"boot.ErrNoEntries":  {err: boot.ErrNoEntries, kind: wizard.NoEntry},
	"boot.ErrEntry":      {err: boot.ErrEntry, kind: wizard.EntryRefuses},
	"boot.GoneError":     {err: fmt.Errorf("%w: %w", boot.ErrEntry, &boot.GoneError{}), kind: wizard.EntryRefuses},
	"boot.MismatchError": {err: &boot.MismatchError{Report: &boot.Report{}}, kind: wizard.EntryRefuses},
	"boot.OddError":      {err: &boot.OddError{Findings: []boot.Finding{{Name: "./x"}}}, kind: wizard.BootOdd},
	"boot.TrialError": {err: &boot.TrialError{Problems: []boot.TrialProblem{{Kind: boot.TrialFull}}},
		kind: wizard.BootFull},
	"boot.ErrTooLarge":     {only: "before: the rehearsal fails, which is Unreadable"},
	"boot.ErrNoSignature":  {only: "before: the verification of what is there"},
	"boot.ErrBadSignature": {only: "before: the verification of what is there; later: tampering"},
	"boot.ErrForm":         {only: "a word of the command line"},
	"boot.ErrCrypttab":     {only: "before: the disk unlock key is left to the firmware's menu"},
	"boot.ErrNotStaged":    {only: "a run stages what it installs"},
	"boot.ErrSetName":      {only: "a run's names are the program's own"},
	"boot.ErrChanged":      {only: "something else writes to /boot in the run"},
	"boot.StartError":      {only: "tampering: what the owner's key has signed has changed"},
	"boot.AppearedError":   {only: "before: they are shown; later: something else writes to /boot in the run"},
	// The stick: the page that asks for it writes nothing to it, as a trial.
	"stick.ErrReadOnly":   {only: "before: the page tries it, and asks for another"},
	"stick.ErrFull":       {only: "the step asks for another, or goes on without"},
	"stick.ErrFilesystem": {only: "before: the page tries it, and asks for another"},
	"stick.ErrGone":       {only: "unplugged"},
	"stick.ErrNotWritten": {only: "a stick that fails; the step asks for another, or goes on without"},
	"stick.ErrName":       {only: "a run's names are the program's own"},
}

// TestEveryKindIsRehearsed: each exported error of these packages is found before the first
// change, as a problem with remedies, or it is written down why it cannot be.
func TestEveryKindIsRehearsed(t *testing.T) {
	seen := map[string]bool{}
	dir, err := boot.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	start := &bootAdapter{dir: dir}
	for pkg, dir := range map[string]string{"gpgcard": "../../gpgcard", "rom": "../rom", "flash": "../rom/flash",
		"tpm": "../../tpm", "boot": "../../boot", "stick": "../stick"} {
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
			case pkg == "boot":
				all, err := start.found(0, v.err)
				if err != nil || len(all) != 1 || all[0].Kind != v.kind {
					t.Errorf("%s is %+v, %v", name, all, err)
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
