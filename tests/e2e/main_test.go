// Package e2e tests the runtime end to end, from outside, only through its command line.
package e2e

import (
	"os"
	"testing"

	"github.com/orlop/orlop/tests/harness"
	"github.com/orlop/orlop/tests/syscalls"
)

func TestMain(m *testing.M) {
	syscalls.Main() // in a container: see TestSeccompDocker
	os.Exit(harness.Main(m))
}
