// Package peers finds the runtimes that orlop is compared with: runc of the release that
// tests/tools pins, and the newest crun of Debian.
package peers

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// dirEnv names a directory of peers to use instead of the one that the script stages.
const dirEnv = "ORLOP_PEERS"

// statusUnavailable is the script's exit status if the peers are not available here.
const statusUnavailable = 77

// UnavailableError says why there is nothing to compare with.
type UnavailableError struct{ reason string }

func (e UnavailableError) Error() string { return e.reason }

// Peers are the paths of the programs.
type Peers struct {
	Runc  string
	Crun  string // a script that starts the program with its own libraries, wherever the directory is copied to
	Probe string // what the containers of tests/differential run: static
	// CrunProgram is the program that Crun starts. It finds its libraries where it was staged, and
	// starts as quickly as an installed one.
	CrunProgram string
}

// Find returns the peers. It stages them if necessary, which takes a minute. source is the
// directory of orlop's source. The error is an UnavailableError if they are not available.
func Find(source string) (Peers, error) {
	dir := os.Getenv(dirEnv)
	if dir == "" {
		var errs bytes.Buffer
		cmd := exec.Command(filepath.Join(source, "tests/peers/stage"))
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == statusUnavailable {
			lines := strings.Split(strings.TrimSpace(errs.String()), "\n")
			return Peers{}, UnavailableError{strings.TrimPrefix(lines[len(lines)-1], "peers: ")}
		}
		if errors.Is(err, fs.ErrNotExist) { // the tests were copied to a machine without the source
			return Peers{}, UnavailableError{"the script that stages them is not here"}
		}
		if err != nil {
			return Peers{}, fmt.Errorf("stage runc and crun: %w\n%s", err, &errs)
		}
		dir = strings.TrimSpace(string(out))
	}
	return Peers{
		Runc:        filepath.Join(dir, "runc"),
		Crun:        filepath.Join(dir, "crun"),
		Probe:       filepath.Join(dir, "probe"),
		CrunProgram: filepath.Join(dir, "crun.d/crun"),
	}, nil
}
