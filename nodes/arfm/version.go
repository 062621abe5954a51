package main

import (
	"fmt"
	"runtime/debug"

	"arfm/policy/nn"
)

// version says what this program was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "arfm, built without version information"
	}
	return describe(info) + ", " + nn.Backend()
}

// describe gives the module's version and the state of the repository, as far
// as the build knows them.
func describe(info *debug.BuildInfo) string {
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	text := "arfm " + info.Main.Version
	if info.Main.Version == "" {
		text = "arfm (devel)"
	}
	if rev := settings["vcs.revision"]; rev != "" {
		text += fmt.Sprintf(", revision %.12s", rev)
		if t := settings["vcs.time"]; t != "" {
			text += " of " + t
		}
		if settings["vcs.modified"] == "true" {
			text += ", modified"
		}
	}
	return text + ", " + info.GoVersion
}
