// Command differential runs generated containers under orlop, runc and crun, and compares what a
// probe inside and the tester outside observe. It shrinks each difference that is not allowed
// (allow.go) to the fewest features that show it, and prints it.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/orlop/orlop/tests/peers"
)

// manyCases is how many cases should use each row that may differ, all in all.
const manyCases = 1000

func main() {
	if os.Getenv(childEnv) != "" {
		childMain()
		return
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "differential:", err)
		os.Exit(1)
	}
}

func run() error {
	if err := becomePlain(); err != nil {
		return err
	}
	orlop := flag.String("orlop", "./orlop", "the orlop to test")
	source := flag.String("source", ".", "directory of orlop's source, with the script that stages the peers")
	count := flag.Uint64("count", 100, "how many cases")
	seed := flag.Uint64("seed", 1, "which cases")
	first := flag.Uint64("first", 0, "index of the first case")
	jobs := flag.Int("jobs", runtime.NumCPU(), "how many run at once")
	one := flag.String("case", "none", "run this case alone, and print what it shows; an ordinary container if it is empty")
	facts := flag.Bool("facts", false, "with -case: print all facts that it shows under orlop")
	all := flag.Bool("all", false, "shrink each case that differs, not one of each kind")
	limit := flag.Duration("limit", callLimit, "how long a command may take before it counts as stuck")
	length := flag.Duration("time", 0, "begin no case after this time")
	allowed := flag.String("allowed", "", "write differences that are allowed to this file, one a line: the row, key, values and case")
	noShrink := flag.Bool("no-shrink", false, "print cases as they were generated")
	flag.Parse()
	path, err := filepath.Abs(*orlop)
	if err != nil {
		return err
	}
	p, err := peers.Find(*source)
	if err != nil {
		return err
	}
	t, err := newTester(path, p)
	if err != nil {
		return err
	}
	defer t.close()
	t.limit, t.length = *limit, *length
	if *allowed != "" {
		f, err := os.Create(*allowed)
		if err != nil {
			return err
		}
		defer f.Close()
		t.allowed = f
	}
	if *one != "none" {
		c, err := parseCase(*one)
		if err != nil {
			return err
		}
		return t.show(os.Stdout, c, *facts)
	}
	t.everyCase, t.noShrink = *all, *noShrink
	s := t.sweep(*seed, *first, *count, *jobs, os.Stdout)
	fmt.Print(t.timesTaken())
	if s.cases >= manyCases {
		for _, line := range t.unused() {
			fmt.Println(line)
		}
	}
	fmt.Println(s)
	if s.differ > 0 || s.faults > 0 {
		return fmt.Errorf("seed %d: %d cases differ", *seed, s.differ)
	}
	return nil
}
