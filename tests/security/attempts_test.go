package security

import (
	"crypto/sha256"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/orlop/orlop/tests/harness"
)

// roundsEnv says how often each attack is tried, whatever time that takes: `make attacks`. Without it, a test tries what takes
// a few seconds.
const roundsEnv = "ORLOP_TEST_ROUNDS"

// asked is how often each attack is to be tried, 0 for as often as usual.
func asked(t *testing.T) int {
	t.Helper()
	text := os.Getenv(roundsEnv)
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q is no number of rounds", roundsEnv, text)
	}
	return n
}

// attempts tries an attack as often as usual, or as often as was asked for. try is told which attempt it is, so that it can go through
// variants, and fails the test if the attack succeeds. That is the end of it.
func attempts(t *testing.T, usual int, try func(n int)) {
	t.Helper()
	times := usual
	if n := asked(t); n > 0 {
		times = n
	}
	check := unharmed(t)
	tried := 0
	for ; tried < times && !t.Failed(); tried++ {
		try(tried)
	}
	check()
	report(t, tried)
}

// report writes the line that `make attacks` makes its table of.
func report(t *testing.T, tried int) {
	t.Helper()
	repelled := tried
	if t.Failed() {
		repelled--
	}
	t.Logf("attack %s repelled %d of %d times", t.Name(), repelled, tried)
}

// unharmed looks at the runtime's binary. check fails the test when it has changed since.
func unharmed(t *testing.T) (check func()) {
	t.Helper()
	before := sha256.Sum256([]byte(read(t, harness.Runtime())))
	return func() {
		t.Helper()
		if after := sha256.Sum256([]byte(read(t, harness.Runtime()))); after != before {
			t.Error("the runtime's binary has changed")
		}
	}
}

// bounded returns how often a race is run, and for how long at most.
func bounded(t *testing.T, usual int) (times int, limit time.Duration) {
	t.Helper()
	if n := asked(t); n > 0 {
		return n, 24 * time.Hour
	}
	if testing.Short() {
		usual /= 20
	}
	return usual, timeLimit
}
