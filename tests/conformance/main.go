// Command conformance runs the validation programs of github.com/opencontainers/runtime-tools
// against a runtime.
//
// It is run in its own directory, as root:
//
//	conformance -runtime PATH [PROGRAM...]     prints a table, and writes PATH's name with .json and .md into -out
//	conformance -compare REPORT.json...        prints reports side by side, as Markdown
//
// The programs come from the module that go.mod pins, are built into -out/bin, and each runs in an
// environment that is thrown away afterwards: see stage. Some of what they assert can't hold: see
// exceptions. The exit status is 1 if a program ends otherwise than expected, but for other
// runtimes than orlop that is not a failure.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

func main() {
	perform()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

// settings are the command line's.
type settings struct {
	runtime string
	name    string
	out     string
	limit   time.Duration
	lanes   int
	tests   []string
}

func run() error {
	var s settings
	flag.StringVar(&s.runtime, "runtime", "", "`PATH` or name of the runtime")
	flag.StringVar(&s.name, "name", "", "`NAME` of the reports (default: that of the runtime's file)")
	flag.StringVar(&s.out, "out", "../../build/conformance", "`FOLDER` for reports and the programs")
	flag.DurationVar(&s.limit, "limit", 10*time.Minute, "time limit of one program")
	flag.IntVar(&s.lanes, "lanes", 4, "how many programs run at once")
	side := flag.Bool("compare", false, "print the reports that the arguments name side by side")
	flag.Parse()
	s.tests = flag.Args()
	if *side {
		return compareFiles(s.tests)
	}
	r, err := s.measure()
	if err != nil {
		return err
	}
	if err := r.table(os.Stdout); err != nil {
		return err
	}
	if n := r.totals().unexpected; n > 0 && r.Runtime == "orlop" {
		return fmt.Errorf("%d programs ended otherwise than expected", n)
	}
	return nil
}

func compareFiles(paths []string) error {
	if len(paths) == 0 {
		return errors.New("which reports?")
	}
	var reports []*report
	for _, path := range paths {
		r, err := readReport(path)
		if err != nil {
			return err
		}
		reports = append(reports, r)
	}
	_, err := fmt.Print(compare(reports, exceptions(reports[0].Host)))
	return err
}

// measure runs the programs and writes the report, if it is one of all programs.
func (s *settings) measure() (*report, error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if os.Geteuid() != 0 {
		return nil, errors.New("needs root")
	}
	path, err := exec.LookPath(s.runtime)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return nil, err
	}
	out, err := filepath.Abs(s.out)
	if err != nil {
		return nil, err
	}
	suite, err := buildSuite(".", filepath.Join(out, "bin"))
	if err != nil {
		return nil, err
	}
	tests, err := suite.choose(s.tests)
	if err != nil {
		return nil, err
	}
	r, err := suite.run(ctx, path, s.limit, s.lanes, tests)
	if err != nil || !slices.Equal(tests, suite.tests) {
		return r, err
	}
	return r, r.write(out, cmp.Or(s.name, r.Runtime))
}
