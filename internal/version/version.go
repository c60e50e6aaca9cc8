// Package version says what was built. The build puts in the line of the file VERSION
// (scripts/build); nothing comes from a version control system, which a tarball has not.
package version

import (
	"runtime"
	"strings"
	"time"
)

// line has the version, the commit, and the commit's time (RFC 3339).
var line = "0-dev unknown 2026-11-01T00:00:00Z"

// String names the version, the commit and the toolchain.
func String() string {
	f := strings.Fields(line)
	return f[0] + " (commit " + f[1] + ", " + runtime.Version() + ")"
}

// Time is when the commit was made: no clock that is right shows less. In a development
// build it is a fixed moment before the first release.
func Time() time.Time {
	t, err := time.Parse(time.RFC3339, strings.Fields(line)[2])
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}
