// Command runner runs go vet and all tests of the given packages, here and in the guest of tests/vm, and
// ends with the line "N passed, N failed, N skipped" on standard output.
//
// It counts from `go test -json`: leaf tests, so that a test with subtests is not counted beside
// them. Every skip is printed with its reason and every failure with its output. A package that
// does not build, panics or runs out of time counts as failed, as does a go vet that complains. What ran in
// the guest has "guest" before its name; where there can be no guest, its packages count as skipped.
//
// It is run in the module's root. Folders of other modules below it may be among the packages.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

func main() {
	tags := flag.String("tags", "", "build tags")
	timeout := flag.String("timeout", "10m", "time limit of one package's tests")
	run := flag.String("run", "", "only tests that match this regular expression")
	inGuest := flag.String("guest", "", "packages to test in the guest, too")
	guestTimeout := flag.Duration("guest-timeout", 15*time.Minute, "time limit of what one guest runs")
	runtime := flag.String("runtime", "", "test this runtime in place of orlop")
	results := flag.String("results", "", "write how each test ended to this `file`, as JSON, unless -run names subtests")
	flag.Parse()
	if *runtime != "" {
		os.Setenv("RUNTIME", *runtime) // the tests' own
	}

	c := newCounter(os.Stdout)
	if packages := flag.Args(); len(packages) > 0 {
		modules := fetched(c, byModule(packages))
		vet(c, *tags, modules)
		for _, m := range modules {
			if err := test(c, *tags, *timeout, *run, m); err != nil {
				c.fail("go test", err.Error())
			}
		}
	}
	if packages := strings.Fields(*inGuest); len(packages) > 0 {
		g := &guest{tags: *tags, run: *run, runtime: *runtime, timeout: *guestTimeout}
		if err := g.test(c, packages); err != nil {
			c.fail("guest", err.Error())
		}
	}
	if *results != "" && !strings.Contains(*run, "/") {
		if err := c.write(*results); err != nil {
			c.fail("results", err.Error())
		}
	}
	c.summary()
	if c.failed > 0 {
		os.Exit(1)
	}
}

// vet runs go vet over the packages.
func vet(c *counter, tags string, modules []module) {
	for _, m := range modules {
		cmd := exec.Command("go", append([]string{"vet", "-tags", tags}, m.patterns...)...)
		cmd.Dir = m.dir
		if out, err := cmd.CombinedOutput(); err != nil {
			c.fail("go vet", string(out)+err.Error())
			return
		}
	}
	fmt.Fprintln(c.out, "ok    go vet")
}

// test runs the tests of a module and feeds their events to the counter.
func test(c *counter, tags, timeout, run string, m module) error {
	args := []string{"test", "-json", "-count=1", "-tags", tags, "-timeout", timeout,
		// One package at a time: root tests share the machine's cgroups and mounts,
		// and what is timed or raced in one package must not be disturbed by another.
		"-p", "1"}
	if run != "" {
		args = append(args, "-run", run)
	}
	cmd := exec.Command("go", append(args, m.patterns...)...)
	cmd.Dir = m.dir
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
	return waitErr
}

// feed reads events, one JSON object in each line. A line that is none is printed as it is.
func feed(c *counter, r io.Reader) error {
	lines := bufio.NewReaderSize(r, 1<<16)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			c.line(line)
		}
		if errors.Is(err, io.EOF) {
			c.finish()
			return nil
		}
		if err != nil {
			return fmt.Errorf("read test events: %w", err)
		}
	}
}
