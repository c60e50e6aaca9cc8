// Overlay prepares the source that the shipped binary is built from. It changes three
// things in other people's code, at build time, and every replacement must match
// exactly once: a new release that changes one of these files stops the build
// instead of shipping something untested.
//
// The Go runtime: all x86 boards that Heads ships today have CONFIG_EVENTFD=n. Since
// Go 1.23 the runtime wakes its network poller through an eventfd and dies when
// the kernel has none. The patch falls back to a pipe, which the runtime used
// before and still contains. It is applied by -overlay.
//
// go-tpm: its transport package offers wrappers that link the whole network stack
// and a second TPM library (110 KB packed). reown has its own transport and uses
// nothing but the interface. The patched module is used by -modfile, because Go
// lets no overlay reach into the module cache.
//
// go-crypto: post-quantum keys and X448 are left out (110 KB packed). No card has such keys;
// using one that is met in a certificate is an error.
//
// usage: go run ./scripts/overlay DIR
// then:  go build -overlay DIR/overlay.json -modfile DIR/go.mod ...
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// An edit replaces a text that must occur exactly once.
type edit struct{ old, new string }

// moduleEdits are the edits by module and file; nil: only the package clause stays.
var moduleEdits = map[string]map[string][]edit{"github.com/google/go-tpm": {
	"tpm2/transport/open_other.go": nil,
	"legacy/tpm2/open_other.go":    nil, // tpm2 takes its key derivation from here
	"tpmutil/run_other.go":         nil,
	"tpm2/transport/tpm.go": {
		{"\n\t\"github.com/google/go-tpm/tpmutil\"\n", "\n\t\"errors\"\n"},
		{"(t *wrappedRW) Send(input []byte) ([]byte, error) {\n\treturn tpmutil.RunCommandRaw(t.transport, input)\n", "(t *wrappedRW) Send(input []byte) ([]byte, error) {\n\treturn nil, errors.ErrUnsupported\n"},
		{"(t *wrappedRWC) Send(input []byte) ([]byte, error) {\n\treturn tpmutil.RunCommandRaw(t.transport, input)\n", "(t *wrappedRWC) Send(input []byte) ([]byte, error) {\n\treturn nil, errors.ErrUnsupported\n"},
	},
}, "github.com/ProtonMail/go-crypto": {
	"openpgp/packet/public_key.go": {
		{"\tslhdsaCircl \"github.com/cloudflare/circl/sign/slhdsa\"\n", ""},
		{"slhdsaCircl.SHAKE_128s.Scheme(), nil", "nil, " + leftOut},
		{"slhdsaCircl.SHAKE_128f.Scheme(), nil", "nil, " + leftOut},
		{"slhdsaCircl.SHAKE_256s.Scheme(), nil", "nil, " + leftOut},
		{"return mldsa65.Scheme(), nil", "return nil, " + leftOut},
		{"return mldsa87.Scheme(), nil", "return nil, " + leftOut},
		{"return mlkem768.Scheme(), nil", "return nil, " + leftOut},
		{"return mlkem1024.Scheme(), nil", "return nil, " + leftOut},
	},
	"openpgp/mldsa_eddsa/mldsa_eddsa.go": {
		{"err = mldsa65.SignTo(key, message, nil, true, mldsaSig)", "_, err = key, " + leftOut},
		{"err = mldsa87.SignTo(key, message, nil, true, mldsaSig)", "_, err = key, " + leftOut},
	},
	"openpgp/internal/ecc/x448.go": {
		{"x448lib.KeyGen(&pk, &sk)", "err = " + noX448},
		{"x448lib.KeyGen(&expectedPk, &sk)", "return " + noX448},
		{"x448lib.Shared(&ss, &seed, &pk)", "_ = seed\n\treturn nil, nil, " + noX448},
		{"x448lib.Shared(&ss, &sk, &e)", "return nil, " + noX448},
	},
	"openpgp/internal/ecc/ed448.go": {
		{"pk, sk, err := ed448lib.GenerateKey(rand)", "pk, sk := []byte(nil), []byte(nil)\n\terr = " + noEd448},
		{"sig = ed448lib.Sign(getEd448Sk(publicKey, privateKey), message, \"\")\n\n\treturn sig, nil", "return nil, " + noEd448},
		{"return ed448lib.Verify(publicKey, message, sig, \"\")", "return false"},
		{"ed448lib.NewKeyFromSeed(priv.Seed())", "priv[:0]"},
	},
	"openpgp/ed448/ed448.go": {
		{"sk.Key = ed448lib.NewKeyFromSeed(seed)\n\treturn nil", "return " + noEd448},
		{"ed448lib.GenerateKey(rand)", "[]byte(nil), []byte(nil), error(" + noEd448 + ")"},
		{"return ed448lib.Sign(priv.Key, message, \"\"), nil", "return nil, " + noEd448},
		{"return ed448lib.Verify(pub.Point, message, signature, \"\")", "return false"},
		{"ed448lib.NewKeyFromSeed(priv.Seed())", "make([]byte, SeedSize)"},
	},
	// Making photo IDs takes an encoder of JPEG.
	"openpgp/packet/userattribute.go": {
		{"\t\"image\"\n\t\"image/jpeg\"\n", ""},
		{"photos ...image.Image", "photos ...[]byte"},
		{"err = jpeg.Encode(&buf, photo, nil)", "_, err = buf.Write(photo)"},
	},
	"openpgp/x448/x448.go": {
		{"x448lib.KeyGen(&expectedPublicKey, &privateKey)", "return " + noX448},
		{"x448lib.KeyGen(publicKey, privateKey)\n\treturn nil", "return " + noX448},
		{"ok := x448lib.Shared(&shared, &ephemeralPrivate, &staticPublic)\n\tif !ok {\n", "if true {\n\t\treturn nil, nil, " + noX448 + "\n"},
		{"ok := x448lib.Shared(&shared, &staticPrivate, &ephemeralPublic)\n\tif !ok {\n", "if true {\n\t\treturn nil, " + noX448 + "\n"},
	},
}}

// What the edits return.
const (
	leftOut = `goerrors.New("a kind of key that this program leaves out")`
	noEd448 = `errors.UnsupportedError("Ed448, which this program leaves out")`
	noX448  = `errors.UnsupportedError("X448, which this program leaves out")`
)

var runtimeEdits = []edit{
	{
		"	netpollEventFd uintptr            // eventfd for netpollBreak\n",
		"	netpollEventFd uintptr            // eventfd for netpollBreak, or the read end of a pipe\n" +
			"	netpollBreakFd uintptr            // where netpollBreak writes\n",
	},
	{
		"	efd, errno := linux.Eventfd(0, linux.EFD_CLOEXEC|linux.EFD_NONBLOCK)\n	if errno != 0 {\n",
		"	efd, errno := linux.Eventfd(0, linux.EFD_CLOEXEC|linux.EFD_NONBLOCK)\n" +
			"	wfd := efd\n" +
			"	if errno == 38 { // ENOSYS: CONFIG_EVENTFD=n\n" +
			"		var perr int32\n" +
			"		efd, wfd, perr = nonblockingPipe()\n" +
			"		errno = uintptr(-perr)\n" +
			"	}\n	if errno != 0 {\n",
	},
	{
		"	netpollEventFd = uintptr(efd)\n",
		"	netpollEventFd = uintptr(efd)\n	netpollBreakFd = uintptr(wfd)\n",
	},
	{
		"fd == uintptr(epfd) || fd == netpollEventFd\n",
		"fd == uintptr(epfd) || fd == netpollEventFd || fd == netpollBreakFd\n",
	},
	{
		"write(netpollEventFd,",
		"write(netpollBreakFd,",
	},
}

// apply returns the patched text of a file.
func apply(file, src string, edits []edit) (string, error) {
	if edits == nil {
		_, rest, ok := strings.Cut(src, "\npackage ")
		if !ok {
			return "", fmt.Errorf("%s has no package clause", file)
		}
		name, _, _ := strings.Cut(rest, "\n")
		return "package " + name + "\n", nil
	}
	for i, e := range edits {
		if n := strings.Count(src, e.old); n != 1 {
			return "", fmt.Errorf("%s: edit %d matches %d times, not once: this release has another text", file, i+1, n)
		}
		src = strings.Replace(src, e.old, e.new, 1)
	}
	return src, nil
}

// goSays runs the go tool and returns what it prints.
func goSays(args ...string) (string, error) {
	goTool := os.Getenv("GO")
	if goTool == "" {
		goTool = "go"
	}
	out, err := exec.Command(goTool, args...).Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", goTool, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

func run(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := patchRuntime(dir); err != nil {
		return err
	}
	return patchModules(dir)
}

func patchRuntime(dir string) error {
	root, err := goSays("env", "GOROOT")
	if err != nil {
		return err
	}
	orig, patched := filepath.Join(root, "src/runtime/netpoll_epoll.go"), filepath.Join(dir, "netpoll_epoll.go")
	src, err := os.ReadFile(orig)
	if err != nil {
		return err
	}
	text, err := apply(orig, string(src), runtimeEdits)
	if err != nil {
		return err
	}
	if err := os.WriteFile(patched, []byte(text), 0o644); err != nil {
		return err
	}
	js, err := json.Marshal(map[string]map[string]string{"Replace": {orig: patched}})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "overlay.json"), js, 0o644)
}

// patchModules copies the modules, patches the copies, and writes a go.mod that uses them.
func patchModules(dir string) error {
	gomod, err := goSays("env", "GOMOD")
	if err != nil {
		return err
	}
	replaced := ""
	for module, edits := range moduleEdits {
		local, err := patchModule(dir, module, edits)
		if err != nil {
			return err
		}
		// Relative, because the path becomes part of the binary.
		rel, err := filepath.Rel(filepath.Dir(gomod), local)
		if err != nil {
			return err
		}
		replaced += fmt.Sprintf("\nreplace %s => ./%s\n", module, rel)
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(filepath.Dir(gomod), name))
		if err != nil {
			return err
		}
		if name == "go.mod" {
			text = append(text, replaced...)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// patchModule returns where the patched copy of a module is.
func patchModule(dir, module string, edits map[string][]edit) (string, error) {
	said, err := goSays("mod", "download", "-json", module)
	if err != nil {
		return "", err
	}
	var info struct{ Dir string }
	if err := json.Unmarshal([]byte(said), &info); err != nil {
		return "", err
	}
	local := filepath.Join(dir, filepath.Base(module))
	if err := os.CopyFS(local, os.DirFS(info.Dir)); err != nil {
		return "", err
	}
	for file, e := range edits {
		path := filepath.Join(local, file)
		src, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		text, err := apply(file, string(src), e)
		if err != nil {
			return "", err
		}
		if err := os.Chmod(path, 0o644); err != nil {
			return "", err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	return local, nil
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: overlay DIR")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "overlay:", err)
		os.Exit(1)
	}
}
