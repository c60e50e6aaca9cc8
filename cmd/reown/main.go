// Reown makes a pre-installed laptop its buyer's own. See README.md and
// `reown help`.
package main

import (
	"context"
	"os"
)

func main() {
	e := &env{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	os.Exit(run(context.Background(), e, os.Args[1:]))
}
