// Command bench compares container runtimes: the wall time of their commands with hyperfine, peak
// memory, and the smallest memory limit under which a container runs.
//
// All runtimes are measured in one run on the same bundle, in turns: disturbances of the machine
// affect all of them. docs/performance.md describes the method.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/orlop/orlop/tests/peers"
)

// runtime is one of the compared runtimes. The others are compared with the first one.
type runtime struct {
	Name    string `json:"name"`
	Path    string `json:"path"`
	Version string `json:"version"`
}

func main() {
	orlop := flag.String("orlop", "", "path of orlop's binary")
	out := flag.String("out", "build/bench", "directory for results.json, times.svg and memory.svg")
	quick := flag.Bool("quick", false, "few runs: a look, not a measurement")
	rounds := flag.Int("rounds", 12, "rounds through all runtimes")
	runs := flag.Int("runs", 6, "runs of a command in each round")
	only := flag.String("only", "", "only operations whose name begins so")
	flag.Parse()
	if *quick {
		*rounds, *runs = 3, 4
	}
	if os.Geteuid() != 0 {
		fatal(errors.New("needs root"))
	}
	if err := enterPrivate(); err != nil {
		fatal(fmt.Errorf("private mount namespace: %w", err))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := bench(ctx, *orlop, *out, *only, *rounds, *runs)
	stop()
	if err != nil {
		fatal(err)
	}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}

// bench measures everything and writes the report.
func bench(ctx context.Context, orlop, out, only string, rounds, runs int) (err error) {
	if _, err := exec.LookPath("hyperfine"); err != nil {
		return fmt.Errorf("%w (Debian: hyperfine)", err)
	}
	runtimes, err := findRuntimes(ctx, orlop)
	if err != nil {
		return err
	}
	s, err := newStage(ctx, runtimes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()

	r := &report{Host: hostFacts(), Runtimes: runtimes, Runs: rounds * runs}
	for _, op := range operations() {
		if !strings.HasPrefix(op.name, only) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%-18s time: %d runs each, in turns\n", op.name, rounds*runs)
		times, err := s.times(ctx, op, rounds, runs)
		if err != nil {
			return fmt.Errorf("%s: %w", op.name, err)
		}
		memory, err := s.memory(ctx, op, max(runs, 5))
		if err != nil {
			return fmt.Errorf("%s: memory: %w", op.name, err)
		}
		r.add(op.name, times, memory)
	}
	if only != "" { // no whole report
		r.print(os.Stdout)
		return nil
	}
	fmt.Fprintln(os.Stderr, "smallest memory limit of /bin/true")
	if r.Limits, err = s.limits(ctx); err != nil {
		return err
	}
	r.print(os.Stdout)
	return r.write(out)
}

// findRuntimes lists orlop and its peers, each with its version.
func findRuntimes(ctx context.Context, orlop string) ([]runtime, error) {
	var found []runtime
	if orlop != "" {
		path, err := filepath.Abs(orlop)
		if err != nil {
			return nil, err
		}
		found = append(found, runtime{Name: "orlop", Path: path})
	}
	p, err := peers.Find(".")
	if none := (peers.UnavailableError{}); errors.As(err, &none) {
		fmt.Fprintf(os.Stderr, "bench: runc and crun are left out: %v\n", none)
	} else if err != nil {
		return nil, err
	} else {
		found = append(found, runtime{Name: "crun", Path: p.CrunProgram}, runtime{Name: "runc", Path: p.Runc})
	}
	if len(found) == 0 {
		return nil, errors.New("no runtime to measure")
	}
	for i, r := range found {
		text, err := exec.CommandContext(ctx, r.Path, "--version").Output()
		if err != nil {
			return nil, fmt.Errorf("%s --version: %w", r.Path, err)
		}
		found[i].Version = versionWord(string(text))
	}
	return found, nil
}
