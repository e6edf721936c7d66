package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// guests is how many run at once. Each has two processors, of which a test mostly uses one.
	guests = 2
	// enginesInGuest is how many of the engines' tests one guest gets: each takes minutes. Of other
	// packages it gets testsAtOnce.
	enginesInGuest = 1
	engines        = "tests/engines"
	// cannotBuild is the status with which tests/vm/build says that there can be no guest on this
	// host.
	cannotBuild = 77
)

// guest runs tests in the machine of tests/vm. Each job gets a fresh copy of it.
type guest struct {
	tags, run string
	runtime   string        // in place of orlop, if not ""
	timeout   time.Duration // of a job; 0: none
	stage     string        // directory that the guest has as /mnt/share; set by test
}

// job is a package's tests, or some of them.
type job struct {
	pkg   pkg
	tests string // -test.run
	count int    // how many these are, or as how many they count
}

// test runs the packages' tests in guests and counts them. Where there can be no guest, it counts
// each package as skipped.
func (g *guest) test(c *counter, patterns []string) error {
	var packages []pkg
	for _, m := range byModule(patterns) {
		more, err := listPackages(g.tags, m)
		if err != nil {
			return err
		}
		packages = append(packages, more...)
	}
	reason, err := machine()
	if err != nil {
		return err
	}
	if reason != "" {
		for _, p := range packages {
			c.skip("guest "+p.path, reason)
		}
		return nil
	}
	if g.stage, err = filepath.Abs("build/guest"); err != nil {
		return err
	}
	if err := stageOrlop(g.stage, g.tags); err != nil {
		return err
	}
	var jobs []job
	for _, p := range packages {
		err := stagePackage(g.stage, g.tags, p)
		if err == nil {
			var more []job
			more, err = g.split(p)
			jobs = append(jobs, more...)
		}
		if err != nil {
			c.fail("guest "+p.path, err.Error())
		}
	}
	g.testAll(c, jobs)
	return nil
}

// machine makes the machine, unless it is there. If that is impossible here, the reason tells why.
func machine() (reason string, err error) {
	var said bytes.Buffer
	cmd := exec.Command("tests/vm/build")
	cmd.Stderr = io.MultiWriter(os.Stderr, &said)
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == cannotBuild {
		lines := strings.Split(strings.TrimSpace(said.String()), "\n")
		return strings.TrimPrefix(lines[len(lines)-1], "vm: "), nil
	}
	if err != nil {
		return "", fmt.Errorf("build the guest: %w\n%s", err, &said)
	}
	return "", nil
}

// split makes a package's jobs.
func (g *guest) split(p pkg) ([]job, error) {
	cmd := exec.Command(p.binary(g.stage), "-test.list", wholeNames(g.run))
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "ORLOP="+orlop(g.stage))
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list tests of %s: %w", p.path, err)
	}
	tests := testNames(string(out))
	most := testsAtOnce
	if p.rel == engines {
		most = enginesInGuest
	}
	if len(tests) <= most { // and need not be named
		return slices.Repeat([]job{{p, g.run, len(tests)}}, min(len(tests), 1)), nil
	}
	var jobs []job
	for _, part := range parts(tests, most) {
		jobs = append(jobs, job{p, only(part, g.run), len(part) * testsAtOnce / most})
	}
	return jobs, nil
}

// testAll runs the jobs, several at once, and counts what they say.
func (g *guest) testAll(c *counter, jobs []job) {
	// The long ones first, so that none is left to run alone.
	slices.SortStableFunc(jobs, func(a, b job) int { return b.count - a.count })
	next := make(chan job)
	var running sync.WaitGroup
	var mu sync.Mutex // guards c
	for range guests {
		running.Go(func() {
			for j := range next {
				var report bytes.Buffer
				try := func() *counter {
					own := newCounter(&report)
					own.watch = c.watch
					if err := g.testOne(own, j); err != nil {
						own.fail("guest "+j.pkg.path, err.Error())
					}
					return own
				}
				own := try()
				if own.failed > 0 {
					// An emulated machine's timing is no real one's: what fails there twice counts.
					// The first time is printed, too.
					first := strings.ReplaceAll(strings.TrimSpace(report.String()), "\n", "\n\t")
					report.Reset()
					fmt.Fprintf(&report, "AGAIN guest %s, after:\n\t%s\n", j.pkg.path, first)
					own = try()
				}
				mu.Lock()
				c.merge(own, report.Bytes())
				mu.Unlock()
			}
		})
	}
	for _, j := range jobs {
		next <- j
	}
	close(next)
	running.Wait()
}

// testOne runs a job in a fresh guest. The tests are told to be short: each start of a Go program
// takes 0.3 s there.
func (g *guest) testOne(c *counter, j job) error {
	runtime := "ORLOP=" + orlop(share)
	if g.runtime != "" {
		runtime = "RUNTIME=" + g.runtime
	}
	limit := "infinity"
	if g.timeout > 0 {
		limit = fmt.Sprint(int((g.timeout + time.Minute).Seconds())) // the test's own limit ends it with a trace
	}
	cmd := exec.Command("go", "tool", "test2json", "-t", "-p", "guest "+j.pkg.path,
		"tests/vm/run", "-t", limit, g.stage, "env", "-C", j.pkg.rel, runtime,
		j.pkg.binary(share), "-test.v=test2json", "-test.short", "-test.timeout", g.timeout.String(), "-test.run", j.tests)
	cmd.Stderr = os.Stderr
	events, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	readErr := feed(c, events)
	if err := cmd.Wait(); err != nil && c.failed == 0 {
		return err
	}
	return readErr
}
