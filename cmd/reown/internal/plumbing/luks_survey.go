package plumbing

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"reown/cmd/reown/internal/cli"
	"reown/internal/escape"
	"reown/luks"
)

// runFlags are the flags of what re-encrypts.
func runFlags(f *luksFlags, o *luks.ReencryptOptions) {
	f.BoolVar(&o.Fill, "fill", false, "re-encrypt also what was never written (zero on the disk), so that "+
		"nothing shows how full it is")
	f.Func("lose", "RANGES give up what cannot be read: OFFSET+LENGTH,... as the error names it, or all; it "+
		"becomes zero", func(s string) (err error) {
		if o.Lose, err = loseFlag(s); s != "all" {
			o.Doubt = o.Lose
		}
		return err
	})
}

// loseFlag reads the value of --lose: the ranges as an error names them, or "all".
func loseFlag(s string) (func([]luks.Range) bool, error) {
	if s == "all" {
		return func([]luks.Range) bool { return true }, nil
	}
	var allowed []luks.Range
	for part := range strings.SplitSeq(s, ",") {
		off, n, _ := strings.Cut(strings.TrimSpace(part), "+")
		var r luks.Range
		var err error
		if r.Offset, err = strconv.ParseInt(off, 10, 63); err == nil {
			r.Length, err = strconv.ParseInt(n, 10, 63)
		}
		if err != nil || r.Offset < 0 || r.Length <= 0 {
			return nil, fmt.Errorf("%q is not OFFSET+LENGTH in bytes", part)
		}
		allowed = append(allowed, r)
	}
	return func(bad []luks.Range) bool { return luks.Within(bad, allowed) }, nil
}

// printResult says what a run did with the data of a device.
func printResult(w io.Writer, device string, r luks.Result) {
	if r.Written+r.Skipped > 0 {
		fmt.Fprintf(w, "%s: %d MiB re-encrypted, %d MiB never written and left alone\n", device, r.Written>>20, r.Skipped>>20)
	}
	for _, b := range r.Lost {
		fmt.Fprintf(w, "%s: LOST, now zero: bytes %d+%d of the decrypted volume\n", device, b.Offset, b.Length)
	}
}

func luksSurvey(ctx context.Context, e *cli.Env, args []string) error {
	f := newLuksFlags("survey")
	ops, err := cli.Parse(f.FlagSet, args, 1, 1)
	if err != nil {
		return err
	}
	f.opts.ReadOnly = true
	v, err := luks.Open(ctx, ops[0], f.opts)
	if err != nil {
		return err
	}
	defer v.Close()
	show := (&meter{w: e.Stderr}).device(ops[0])
	s, err := v.Survey(ctx, func(s luks.Survey) { show(s.Read, s.Total) })
	if err != nil {
		return err
	}
	if f.json {
		return e.JSON(s)
	}
	fmt.Fprintf(e.Stdout, "%s: %d bytes of data, %d in written parts, read in %.0f s\n", escape.Text(ops[0]), s.Total,
		s.Written, s.Took.Seconds())
	for _, b := range s.Bad {
		fmt.Fprintf(e.Stdout, "  cannot be read: bytes %d+%d of the decrypted volume\n", b.Offset, b.Length)
	}
	return nil
}
