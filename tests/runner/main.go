// Command runner runs go vet and all tests of the given packages, here and in the guest of
// tests/vm, and ends with the line "N passed, N failed, N skipped" on standard output.
//
// It counts from `go test -json`: leaf tests, so that a test with subtests is not counted beside
// them. Every skip is printed with its reason and every failure with its output. A package that
// does not build, panics or runs out of time counts as failed, as does a go vet that complains.
// What ran in the guest has "guest" before its name; where there can be no guest, its packages
// count as skipped. Nothing has a time limit unless one is given, since machines differ much; what
// runs for minutes is named on standard error.
//
// It is run in the module's root. Directories of other modules below it may be among the packages.
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
)

func main() {
	tags := flag.String("tags", "", "build tags")
	timeout := flag.Duration("timeout", 0, "time limit of one package's tests, or a part of them, and of what one guest runs (0: none)")
	split := flag.String("split", "", "packages to test in parts, each by a process of its own")
	run := flag.String("run", "", "only tests that match this regular expression")
	inGuest := flag.String("guest", "", "packages to test in the guest, too")
	runtime := flag.String("runtime", "", "test this runtime in place of orlop")
	results := flag.String("results", "", "write how each test ended to this `file`, as JSON, unless -run names subtests")
	flag.Parse()
	if *runtime != "" {
		os.Setenv("RUNTIME", *runtime) // the tests' own
	}

	c := newCounter(os.Stdout)
	go c.watch.tell(os.Stderr)
	if packages := flag.Args(); len(packages) > 0 {
		modules := fetched(c, byModule(packages))
		vet(c, *tags, modules)
		h := here{tags: *tags, run: *run, timeout: *timeout, split: strings.Fields(*split)}
		for _, m := range modules {
			if err := h.test(c, m); err != nil {
				c.fail("go test", err.Error())
			}
		}
	}
	if packages := strings.Fields(*inGuest); len(packages) > 0 {
		g := &guest{tags: *tags, run: *run, runtime: *runtime, timeout: *timeout}
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
