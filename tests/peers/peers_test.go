package peers

import (
	"errors"
	"testing"
)

// TestWithoutSource: where the tests were copied to and the source was not, there is nothing to compare with.
func TestWithoutSource(t *testing.T) {
	t.Setenv(dirEnv, "")
	_, err := Find(t.TempDir())
	if none := (UnavailableError{}); !errors.As(err, &none) {
		t.Errorf("got %v, want an UnavailableError", err)
	}
}
