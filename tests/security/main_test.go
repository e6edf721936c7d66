// Package security races the runtime, from outside: a neighbour swaps folders and links in a shared volume while containers are made.
// Attacks that need no race are in tests/e2e.
package security

import (
	"os"
	"testing"

	"github.com/orlop/orlop/tests/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }
