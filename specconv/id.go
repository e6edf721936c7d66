package specconv

import (
	"errors"
	"fmt"
)

// ErrInvalidID is the error of ValidateID. containerd's shim and go-runc match on the text.
var ErrInvalidID = errors.New("invalid container ID format")

// maxIDLength is NAME_MAX: the id names directories (state, cgroup).
const maxIDLength = 255

// ValidateID checks a container's id: letters, digits and "_+-.", but not "." or "..", since the id
// names directories. The error is an ErrInvalidID. It does not contain the id, which callers name
// in all errors about a container.
func ValidateID(id string) error {
	bad := id == "" || len(id) > maxIDLength || id == "." || id == ".."
	for i := 0; i < len(id) && !bad; i++ {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '_', c == '+', c == '-', c == '.':
		default:
			bad = true
		}
	}
	if bad {
		return fmt.Errorf(`%w: must be 1 to %d letters, digits or characters of "_+-.", and not "." or ".."`, ErrInvalidID, maxIDLength)
	}
	return nil
}
