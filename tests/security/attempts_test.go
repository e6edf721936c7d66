package security

import (
	"crypto/sha256"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/orlop/orlop/tests/harness"
)

// roundsEnv is the number of attempts of each attack, however long they take: `make attacks`.
// Without it, a test makes as many attempts as take a few seconds.
const roundsEnv = "ORLOP_TEST_ROUNDS"

// asked returns the requested number of attempts of each attack, 0 for the usual one.
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

// attempts makes the usual or requested number of attempts of an attack. try gets the attempt's
// number, so that it can go through variants, and fails the test if the attack succeeds, which ends
// the attempts.
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

// report writes a line for the table of `make attacks`.
func report(t *testing.T, tried int) {
	t.Helper()
	repelled := tried
	if t.Failed() {
		repelled--
	}
	t.Logf("attack %s repelled %d of %d times", t.Name(), repelled, tried)
}

// unharmed records the runtime's binary. check fails the test if it has changed since.
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

// bounded returns the number of runs of a race, and their time limit.
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
