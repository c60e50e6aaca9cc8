package main

import "runtime/debug"

// versionLine says what was built, from which commit, with which toolchain.
func versionLine() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "reown (no build information)"
	}
	rev, dirty := "unknown", ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			rev = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				dirty = "+changes"
			}
		}
	}
	return "reown " + rev + dirty + " " + info.GoVersion
}
