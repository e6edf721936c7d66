// Package e2e tests the runtime end to end, from outside through its command line only.
package e2e

import (
	"os"
	"testing"

	"github.com/orlop/orlop/tests/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }
