// Package timeout is the error of a wait that was given up.
package timeout

import (
	"fmt"
	"os"
)

// exceeded is an os.ErrDeadlineExceeded with another text.
type exceeded struct{ error }

// Errorf is fmt.Errorf for a wait that was given up: errors.Is finds os.ErrDeadlineExceeded in it.
func Errorf(format string, args ...any) error {
	return exceeded{fmt.Errorf(format, args...)}
}

func (e exceeded) Is(target error) bool { return target == os.ErrDeadlineExceeded }

func (e exceeded) Unwrap() error { return e.error }
