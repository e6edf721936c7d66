package cli

import (
	"io"
	"runtime"
	"runtime/debug"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// printVersion prints the versions of orlop and of the specification. Docker parses the word after
// "version" in the first line and the one after "commit:". go-runc expects a first line with "runc
// version", but does without it.
func (p *program) printVersion() error {
	text := name + " version " + p.version + "\n"
	if commit := commit(); commit != "" {
		text += "commit: " + commit + "\n"
	}
	text += "spec: " + specs.Version + "\n" + "go: " + runtime.Version() + "\n"
	_, err := io.WriteString(p.stdout, text)
	return err
}

// commit returns the commit that the program was built from, if the build recorded it.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	var revision, dirty string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	if revision == "" {
		return ""
	}
	return revision + dirty
}
