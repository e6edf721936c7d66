package seccompfilter

import (
	"errors"
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/libcontainer/internal/state"
	"github.com/orlop/orlop/specconv"
)

// TestNoListener: only the listener of a filter goes to the seccomp agent, whatever the process
// sends.
func TestNoListener(t *testing.T) {
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	for want, f := range map[string]*os.File{"sent no listener": nil, "sent /dev/null in place of": file} {
		err := HandListener(&state.Record{}, specs.StateCreated, 1, f)
		var field *specconv.FieldError
		if !errors.As(err, &field) || field.Path != "linux.seccomp" || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
