package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"reown/cmd/reown/internal/cli"
	"reown/gpgcard"
	"reown/wizard"
	"reown/wizard/ui"
	"reown/wizard/wizardtest"
)

// What init starts when there is nothing to do: it ends well, says nothing, opens
// nothing for writing, and changes and asks nothing of anything.
func TestInitWithNothingToDo(t *testing.T) {
	if _, err := os.Lstat("/boot/oem"); err == nil {
		t.Skip("this machine has a /boot/oem")
	}
	dir := t.TempDir()
	program, trace := filepath.Join(dir, "reown"), filepath.Join(dir, "trace")
	goRun(t, "../..", "build", "-o", program, "./cmd/reown")
	began := time.Now()
	if out, err := exec.Command(program).CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("%v: %q", err, out)
	}
	t.Logf("it took %v", time.Since(began).Round(time.Millisecond))
	checked(t, program)
	if _, err := exec.LookPath("strace"); err != nil {
		if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
			t.Fatal("strace is missing")
		}
		t.Skip("strace is missing")
	}
	for _, args := range [][]string{nil, {"wizard", "--check"}} {
		args = append([]string{"-f", "-o", trace, program}, args...)
		if out, err := exec.Command("strace", args...).CombinedOutput(); err != nil || len(out) > 0 {
			t.Skipf("strace cannot trace here: %v %s", err, out)
		}
		calls, err := os.ReadFile(trace)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(calls, []byte(`"/boot/oem"`)) {
			t.Fatalf("it did not look for /boot/oem:\n%s", calls)
		}
		for l := range strings.Lines(string(calls)) {
			if touches.MatchString(l) && !strings.Contains(l, "fcntl") {
				t.Errorf("it does %s", l)
			}
		}
	}
}

// checked asks `reown wizard --check` about folders: what a finished run leaves is nothing to do.
func checked(t *testing.T, program string) {
	t.Helper()
	dir := t.TempDir()
	exit := func(boot string) int {
		cmd := exec.Command(program, "wizard", "--check", "--boot", boot, "--card", "none", "--tpm", "none", "--flash",
			"none")
		if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode()
	}
	for _, n := range []string{"kexec.sig", "kexec_hashes.txt", "kexec_reown.asc", "kexec_reown.log",
		"kexec_reown.certificate.json"} {
		if err := os.WriteFile(filepath.Join(dir, n), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if c := exit(dir); c != exitDone {
		t.Errorf("a finished laptop: exit code %d", c)
	}
	receipt := filepath.Join(dir, "kexec_reown.receipt") // nobody can say that this run is over
	if err := os.WriteFile(receipt, []byte("no receipt"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c := exit(dir); c != exitDue {
		t.Errorf("with a receipt alone: exit code %d", c)
	}
	if err := os.Remove(receipt); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "oem")); err != nil {
		t.Fatal(err)
	}
	if c := exit(dir); c != exitDue {
		t.Errorf("with oem: exit code %d", c)
	}
	if c := exit(filepath.Join(dir, "kexec.sig")); c != exitDue { // not a folder: cannot be read
		t.Errorf("a /boot that cannot be read: exit code %d", c)
	}
}

// touches matches system calls that change something or speak to a device.
var touches = regexp.MustCompile(`O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND| (ioctl|unlink|unlinkat|rename|renameat2?|mkdir|mkdirat|mknod|mknodat|mount|umount2|sync|syncfs|fsync|socket|connect|flock|reboot|syslog|kexec_load|(f?chmod|f?chown)[a-z]*|truncate|ftruncate|utimensat|link|linkat|symlink[a-z]*|pwrite64|pwritev2?)\(|"/dev/`)

// How a run ended is an exit code, and a text.
func TestHowARunEnds(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
		says string
	}{
		{nil, exitDone, ""},
		{wizard.ErrNothingToDo, exitDone, ""},
		{wizard.ErrTampering, exitNotVerified, "already has an owner"},
		{wizard.ErrNotVerified, exitNotVerified, "could not be shown"},
		{&ui.MissingAnswerError{Key: "confirm"}, exitNoAnswer, `"confirm"`},
		{&ui.BadAnswerError{Key: "name", Err: ui.Problem("no")}, exitNoAnswer, `"name"`},
		{wizard.ErrPaused, exitStopped, "was paused"},
		{context.Canceled, exitStopped, "stopped before"},
		{&wizard.PreflightError{}, exitRefused, "put right"},
		{&wizard.StepError{Step: "preflight", Err: &wizard.PreflightError{}}, exitRefused, "put right"},
		{wizard.ErrLocked, exitRefused, "another console"},
		{ui.ErrLeft, exitRefused, "left before anything"},
		{wizard.ErrNoCard, exitFailed, "security key"},
		{&wizard.StepError{Step: "boot", Err: wizard.ErrNoCard}, exitStopped, "No security key"},
		{&wizard.StepError{Step: "seal", Err: wizard.ErrSealImpossible}, exitStopped, "recovery shell"},
		{&wizard.StepError{Step: "card", Err: &gpgcard.PINError{Left: 2}}, exitStopped, "PIN"},
		{&wizard.StepError{Step: "tpm", Err: errors.New("something else")}, exitStopped, "A step failed"},
	} {
		var out, errs bytes.Buffer
		code := finish(&cli.Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs}, ended(c.err))
		if code != c.code || !strings.Contains(errs.String(), c.says) {
			t.Errorf("%v: exit code %d, want %d\n%s", c.err, code, c.code, errs.String())
		}
		if c.err != nil && code != exitDone &&
			(!strings.Contains(errs.String(), "your data: ") || !strings.Contains(errs.String(), "what to do: ")) {
			t.Errorf("%v: no text\n%s", c.err, errs.String())
		}
	}
}

var updateSchema = flag.Bool("update-schema", false, "write the JSON schema instead of comparing it")

const statusSchemaFile = "../../docs/status.schema.json"

// The schema of `reown status --json` and `reown plan --json` in docs is that of the
// type; an independent validator accepts what machines in several states report, and
// refuses a field that was renamed.
func TestStatusSchema(t *testing.T) {
	s := schemaOf(reflect.TypeFor[wizard.Report]())
	s["$schema"], s["title"] = "https://json-schema.org/draft/2020-12/schema", "reown status --json, reown plan --json"
	s["properties"].(map[string]any)["schema"] = map[string]any{"const": "reown/status/v1"}
	want, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *updateSchema {
		if err := os.WriteFile(statusSchemaFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(statusSchemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Fatalf("%s is not what the type is (go test ./cmd/reown -run StatusSchema -update-schema); fields are added, never changed", statusSchemaFile)
	}
	check := exec.Command("python3", "-c", "import jsonschema")
	if check.Run() != nil {
		if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
			t.Fatal("python3 with jsonschema is missing")
		}
		t.Skip("python3 with jsonschema is missing")
	}
	reports := map[string]func(*wizardtest.World){
		"handed over": nil,
		"no card":     func(w *wizardtest.World) { w.CardIn = false },
		"no TPM":      func(w *wizardtest.World) { w.HasTPM, w.HasToken = false, false },
		"tampering": func(w *wizardtest.World) {
			w.HandoverFunc = func() wizard.Handover { return wizard.Handover{} }
			w.Files = "changed"
		},
		"half": func(w *wizardtest.World) {
			w.Disks[0].NewKey, w.Disks[0].Done = "key-9", 3
			w.PowerState = wizard.Power{Known: true, Percent: 20}
		},
		"idle": func(w *wizardtest.World) { w.Oem = false },
		"finished": func(w *wizardtest.World) {
			p := wizardtest.NewPerson(w)
			c := wizardtest.Conversation{}
			if err := c.Talk(p, "en", func() ui.UI { return wizardtest.Bare(p) }); err != nil {
				t.Fatal(err)
			}
			w.Reboot()
		},
	}
	docs := map[string]json.RawMessage{}
	for name, change := range reports {
		w := wizardtest.New()
		if change != nil {
			change(w)
		}
		r, err := wizard.Status(t.Context(), w.Machine())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		doc, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		docs[name] = doc
		docs[renamed+name] = bytes.Replace(doc, []byte(`"steps"`), []byte(`"stages"`), 1)
	}
	in, err := json.Marshal(docs)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("python3", "-c", validator, statusSchemaFile)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	wrong := map[string]string{}
	if err := json.Unmarshal(out, &wrong); err != nil {
		t.Fatal(err)
	}
	for name, doc := range docs {
		if strings.HasPrefix(name, renamed) {
			if wrong[name] == "" {
				t.Errorf("%s: is accepted", name)
			}
		} else if wrong[name] != "" {
			t.Errorf("%s: %s\n%s", name, wrong[name], doc)
		}
	}
}

const renamed = "a renamed field, "

// validator asks Python's jsonschema about each of several documents.
const validator = `import json, sys, jsonschema
v = jsonschema.Draft202012Validator(json.load(open(sys.argv[1])))
print(json.dumps({n: "; ".join(e.message for e in v.iter_errors(d)) for n, d in json.load(sys.stdin).items()}))`

// enums are the values that a field of these types can have.
var enums = map[string][]string{
	"Phase":   {"idle", "handed over", "interrupted", "unknown", "tampering"},
	"Verdict": {"pass", "fail", "not provided", "changed"},
	"status":  {"completed", "in progress", "not started", "cannot start", "problem", "not needed"},
}

// schemaOf is the JSON schema of a type's encoding/json form. Fields that a reader
// does not know are allowed: they may be added.
func schemaOf(typ reflect.Type) map[string]any {
	switch typ.Kind() {
	case reflect.String:
		s := map[string]any{"type": "string"}
		if v := enums[typ.Name()]; v != nil {
			s["enum"] = v
		}
		return s
	case reflect.Int, reflect.Int64, reflect.Uint32:
		return map[string]any{"type": "integer"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Slice:
		return map[string]any{"type": []string{"array", "null"}, "items": schemaOf(typ.Elem())}
	case reflect.Pointer:
		return schemaOf(typ.Elem())
	}
	fields, required := map[string]any{}, []string{}
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || name == "-" {
			continue
		}
		s := schemaOf(f.Type)
		if v := enums[name]; v != nil {
			s["enum"] = v
		}
		fields[name] = s
		if options != "omitempty" {
			required = append(required, name)
		}
	}
	return map[string]any{"type": "object", "properties": fields, "required": required}
}
