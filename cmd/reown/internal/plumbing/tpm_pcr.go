package plumbing

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"reown/cmd/reown/internal/cli"
	"reown/internal/escape"
	"reown/internal/rom"
	"reown/tpm"
)

func tpmPCR(ctx context.Context, e *cli.Env, args []string) error {
	f := newTPMFlags("pcr")
	extend, file := f.Int("extend", -1, "N the register to extend"), f.String("file", "", "FILE by the hash of "+
		"this file")
	ops, err := cli.Parse(f.FlagSet, args, 0, 24)
	if err != nil {
		return err
	}
	pcrs := tpm.DUKPCRs()
	if len(ops) > 0 {
		pcrs = nil
	}
	for _, s := range ops {
		n, err := strconv.Atoi(s)
		if err != nil {
			return cli.Usagef("reown tpm pcr: %q is no register", s)
		}
		pcrs = append(pcrs, n)
	}
	if (*extend >= 0) != (*file != "") {
		return cli.Usagef("reown tpm pcr: --extend and --file belong together")
	}
	t, err := f.open(ctx)
	if err != nil {
		return err
	}
	if *extend >= 0 {
		data, err := readMeasured(*file, maxMeasured)
		if err != nil {
			return err
		}
		if err := t.ExtendPCR(ctx, *extend, data); err != nil {
			return err
		}
	}
	v, err := t.ReadPCRs(ctx, pcrs...)
	if err != nil {
		return err
	}
	if f.json {
		return e.JSON(v)
	}
	printTPMPCRs(e.Stdout, v)
	return nil
}

// maxMeasured bounds a file that is measured, in bytes: the largest ROM image.
const maxMeasured = 64 << 20

func readMeasured(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", name, limit)
	}
	return b, err
}

// readEventLog reads the log from a file, or from the machine for "".
func readEventLog(ctx context.Context, file string) (*tpm.EventLog, error) {
	var b []byte
	var err error
	if file == "" {
		b, err = tpm.ReadEventLog(ctx)
	} else {
		b, err = readMeasured(file, tpm.MaxEventLog)
	}
	if err != nil {
		return nil, err
	}
	return tpm.ParseEventLog(b)
}

func tpmEventLog(ctx context.Context, e *cli.Env, args []string) error {
	f := newTPMFlags("eventlog")
	ops, err := cli.Parse(f.FlagSet, args, 0, 1)
	if err != nil {
		return err
	}
	l, err := readEventLog(ctx, strings.Join(ops, ""))
	if err != nil {
		return err
	}
	// The values are a service; a log can be read on a machine without the TPM.
	size, now := tpm.V20.PCRSize(), tpm.PCRValues{}
	if t, err := f.open(ctx); err == nil {
		size = t.Family().PCRSize()
		if now, err = t.ReadPCRs(ctx, tpm.DUKPCRs()...); err != nil {
			return err
		}
	}
	replayed := tpm.PCRValues{}
	for _, p := range tpm.DUKPCRs() {
		if v, err := l.Replay(size, p); err == nil {
			replayed[p] = v
		}
	}
	if f.json {
		return e.JSON(struct {
			Format   string        `json:"format"`
			Events   []tpm.Event   `json:"events"`
			Replayed tpm.PCRValues `json:"replayed"`
			PCRs     tpm.PCRValues `json:"pcrs"`
		}{l.Format, l.Events, replayed, now})
	}
	fmt.Fprintf(e.Stdout, "%s log, %d events\n", l.Format, len(l.Events))
	for _, ev := range l.Events {
		fmt.Fprintf(e.Stdout, "  PCR %-2d %s\n", ev.PCR, escape.Text(ev.Name))
	}
	for _, p := range tpm.DUKPCRs() {
		v, ok := replayed[p]
		if !ok {
			continue
		}
		note := ""
		if n, ok := now[p]; ok {
			note = map[bool]string{true: "  as in the TPM",
				false: "  the TPM has more or other measurements"}[string(n) == string(v)]
		}
		fmt.Fprintf(e.Stdout, "  replay of PCR %d: %x%s\n", p, v, note)
	}
	return nil
}

// predictOTP computes the registers that TOTP is sealed to for a firmware image.
func predictOTP(ctx context.Context, t *tpm.TPM, image, logFile string) (tpm.PCRValues, error) {
	b, err := readMeasured(image, maxMeasured)
	if err != nil {
		return nil, err
	}
	sha1Bank, sha256Bank, err := rom.PCR7(b)
	if err != nil {
		return nil, err
	}
	pcr7 := sha256Bank[:]
	if t.Family() == tpm.V12 {
		pcr7 = sha1Bank[:]
	}
	l, err := readEventLog(ctx, logFile)
	if err != nil {
		return nil, err
	}
	now, err := t.ReadPCRs(ctx, 0, 1, 2, 3)
	if err != nil {
		return nil, err
	}
	return tpm.PredictOTP(now, l, pcr7)
}

func tpmPredict(ctx context.Context, e *cli.Env, args []string) error {
	f := newTPMFlags("predict")
	image, logFile := f.String("image", "", "ROM the firmware image"), f.String("log", "", "FILE an event log to "+
		"use instead of this machine's")
	if _, err := cli.Parse(f.FlagSet, args, 0, 0); err != nil {
		return err
	}
	if *image == "" {
		return cli.Usagef("reown tpm predict: --image is needed")
	}
	t, err := f.open(ctx)
	if err != nil {
		return err
	}
	v, err := predictOTP(ctx, t, *image, *logFile)
	if err != nil {
		return err
	}
	if f.json {
		return e.JSON(v)
	}
	printTPMPCRs(e.Stdout, v)
	return nil
}
