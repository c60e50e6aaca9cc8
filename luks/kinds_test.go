package luks_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// kinds says of every error kind of this package before what it is known: a test in which Find, Open or
// Rehearse names it and nothing is written, or why only the run itself can tell.
var kinds = map[string]string{
	"ErrNotLUKS": "TestRefusals", "ErrDamaged": "TestRefusals", "ErrForeign": "TestRefusals",
	"ErrTooSmall": "TestRefusals",
	"ErrInUse":    "TestBlockDevice", "ErrReadOnly": "TestBlockDevice", "UnsupportedError": "TestRehearsalTellsTheTruth",
	"RequirementError": "TestRehearsalTellsTheTruth", "MemoryError": "TestRehearsalTellsTheTruth",
	"SlowKDFError": "TestRehearsalTellsTheTruth",
	"ErrNoSpace":   "TestRehearsalTellsTheTruth", "ErrDisagree": "TestFind", "ErrTwoHeaders": "TestFind",
	"HeaderError":    "TestFind",
	"ErrPartitioned": "TestFindBesideAPartitionTable", "ErrMember": "TestFindInAMirror", "ErrTwin": "TestFindInAMirror",
	"ErrEncrypting": "TestOtherModesOfCryptsetup", "ErrDecrypting": "TestOtherModesOfCryptsetup",
	"ErrNoRescue": "TestRefusals", "ErrLastSlot": "TestRefusals", "ErrNoSuchSlot": "TestRefusals",
	"ErrOtherKey": "TestLUKS1Backup",
	"ErrUnproven": "TestRescueRefusesToGuess", "ErrLeftBehind": "TestResumeRefusesToGuess",
	"ErrTwice":  "TestRescueKeepsWhatWasEncryptedTwice",
	"EdgeError": "TestStretchInDoubt", "ErrUnproven1": "TestLUKS1Aside",
	"ErrInDoubt": "TestDamagedChecksums", "DoubtError": "TestDamagedBlockInHotzone", "ErrLUKS1Interrupted": "TestFind",
	"ErrLUKS1Files":      "needs the directory that the person gives",
	"ErrReencrypting":    "answers a question of the caller: an edit in a run",
	"ErrWrongPassphrase": "needs a passphrase", "ErrOldKey": "needs a passphrase", "ErrMetadata": "needs both keys",
	"ErrEmptyPassphrase": "needs a passphrase", "OpensError": "needs a passphrase",
	"ErrNotErased": "is seen when it is read back", "ErrFull": "is the file system's at the write",
	"ErrWriteProtected": "TestRehearsalTellsTheTruth opens the device for writing; a file system may refuse later",
	"IOError":           "is the device's at the read or write", "BadSectorsError": "TestBadSectors",
	"WroteError": "carries another one", "ErrNoise": "TestLook", "ErrUnseen": "TestLookUnread",
}

// Every error kind stands in the table, every one in the table exists, and so do the tests.
func TestEveryErrorKindIsRehearsedOrExplained(t *testing.T) {
	found, tests := map[string]bool{}, map[string]bool{}
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 40 {
		t.Fatal(len(files), err)
	}
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, src, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				tests[n.Name.Name] = true
				return false
			case *ast.TypeSpec:
				if n.Name.IsExported() && strings.HasSuffix(n.Name.Name, "Error") {
					found[n.Name.Name] = true
				}
			case *ast.ValueSpec:
				if n.Names[0].IsExported() && strings.HasPrefix(n.Names[0].Name, "Err") {
					found[n.Names[0].Name] = true
				}
			}
			return true
		})
	}
	for name := range found {
		if kinds[name] == "" {
			t.Errorf("%s is neither rehearsed nor explained", name)
		}
	}
	for name, how := range kinds {
		if !found[name] {
			t.Errorf("there is no %s", name)
		}
		if test, _, _ := strings.Cut(how, " "); strings.HasPrefix(how, "Test") && !tests[test] {
			t.Errorf("%s: there is no %s", name, test)
		}
	}
}
