package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// here runs tests on this machine.
type here struct {
	tags, run string
	timeout   time.Duration // of a package's tests, or a part of them; 0: none
	split     []string      // directories of packages that are tested in parts
}

// test runs the tests of a module and feeds their events to the counter.
func (h *here) test(c *counter, m module) error {
	packages, err := listPackages(h.tags, m)
	if err != nil {
		return err
	}
	long := slices.DeleteFunc(slices.Clone(packages), func(p pkg) bool { return !h.isLong(p) })
	if len(long) == 0 {
		return h.goTest(c, m.dir, h.run, m.patterns...)
	}
	var others []string
	for _, p := range packages {
		if !h.isLong(p) {
			others = append(others, p.path)
		}
	}
	if len(others) > 0 {
		if err := h.goTest(c, m.dir, h.run, others...); err != nil {
			return err
		}
	}
	for _, p := range long {
		if err := h.testParts(c, p); err != nil {
			return err
		}
	}
	return nil
}

func (h *here) isLong(p pkg) bool {
	return slices.ContainsFunc(h.split, func(folder string) bool { return filepath.Clean(folder) == p.rel })
}

// testParts runs a package's tests in several processes, one after another.
func (h *here) testParts(c *counter, p pkg) error {
	cmd := exec.Command("go", "test", "-tags", h.tags, "-list", wholeNames(h.run), ".")
	cmd.Dir = p.dir
	out, err := cmd.Output()
	if err != nil {
		// It says the same, and is counted.
		return h.goTest(c, p.dir, h.run, ".")
	}
	for _, part := range parts(testNames(string(out)), testsAtOnce) {
		if err := h.goTest(c, p.dir, only(part, h.run), "."); err != nil {
			return err
		}
	}
	return nil
}

// goTest runs the tests of some packages.
func (h *here) goTest(c *counter, dir, run string, packages ...string) error {
	args := []string{"test", "-json", "-count=1", "-tags", h.tags, "-timeout", h.timeout.String(),
		// One package at a time: root tests share the machine's cgroups and mounts,
		// and what is timed or raced in one package must not be disturbed by another.
		"-p", "1"}
	if run != "" {
		args = append(args, "-run", run)
	}
	cmd := exec.Command("go", append(args, packages...)...)
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	events, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	readErr := feed(c, events)
	waitErr := cmd.Wait()
	if readErr != nil {
		return readErr
	}
	// go test's status says nothing that the events have not said, unless they said nothing.
	if exit := (*exec.ExitError)(nil); errors.As(waitErr, &exit) && c.failed > 0 {
		return nil
	}
	if waitErr != nil {
		return fmt.Errorf("go test: %w", waitErr)
	}
	return nil
}
