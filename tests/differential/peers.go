package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// peersEnv names a directory with runc, crun and the probe, in place of those that the script stages.
const peersEnv = "ORLOP_PEERS"

// cannotStage is the status with which the script says that the peers cannot be had here.
const cannotStage = 77

// errNoPeers says why there is nothing to compare with.
type errNoPeers struct{ reason string }

func (e errNoPeers) Error() string { return e.reason }

// peers are what the script stages: runtimes to compare with, and the program that runs in containers.
type peers struct {
	runtimes []runtimeProgram
	probe    string
}

// findPeers returns the peers, staged if they are not.
func findPeers(source string) (peers, error) {
	dir := os.Getenv(peersEnv)
	if dir == "" {
		var errs bytes.Buffer
		cmd := exec.Command(filepath.Join(source, "peers"))
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == cannotStage {
			lines := strings.Split(strings.TrimSpace(errs.String()), "\n")
			return peers{}, errNoPeers{strings.TrimPrefix(lines[len(lines)-1], "peers: ")}
		}
		if err != nil {
			return peers{}, fmt.Errorf("stage runc and crun: %w\n%s", err, &errs)
		}
		dir = strings.TrimSpace(string(out))
	}
	return peers{[]runtimeProgram{{"runc", filepath.Join(dir, "runc")}, {"crun", filepath.Join(dir, "crun")}}, filepath.Join(dir, "probe")}, nil
}
