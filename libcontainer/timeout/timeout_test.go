package timeout_test

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/timeout"
)

func TestErrorf(t *testing.T) {
	err := fmt.Errorf("remove: %w", timeout.Errorf("after %d s: %w", 3, unix.EBUSY))
	if got := err.Error(); got != "remove: after 3 s: device or resource busy" {
		t.Errorf("got %q", got)
	}
	for target, want := range map[error]bool{os.ErrDeadlineExceeded: true, unix.EBUSY: true, os.ErrExist: false} {
		if got := errors.Is(err, target); got != want {
			t.Errorf("is %v: %v", target, got)
		}
	}
}
