// Package security attacks the runtime from outside, as other runtimes have been attacked: by
// images, by processes of containers, and by a neighbour who swaps directories and links in a
// shared volume while containers are made.
package security

import (
	"os"
	"testing"

	"github.com/orlop/orlop/tests/harness"
)

func TestMain(m *testing.M) {
	if os.Getenv(tracerEnv) != "" { // in a container
		trace()
		return
	}
	if role := os.Getenv(keyringEnv); role != "" { // likewise
		keyringRole(role)
		return
	}
	if marker := os.Getenv(entranceEnv); marker != "" { // likewise
		guardEntrance(marker)
		return
	}
	if os.Getenv(bombEnv) != "" { // likewise
		bomb()
	}
	if os.Getenv(stopperEnv) != "" { // likewise
		stopAll()
	}
	if os.Getenv(chaseEnv) != "" { // likewise
		chase()
	}
	if os.Getenv(movingChaseEnv) != "" { // likewise
		movingChase()
	}
	os.Exit(harness.Main(m))
}
