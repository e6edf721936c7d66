package specconv

import (
	"errors"
	"fmt"
)

// ErrInvalidID is what ValidateID returns for a bad id. containerd's shim and go-runc match the text.
var ErrInvalidID = errors.New("invalid container ID format")

// maxIDLength is NAME_MAX: the id names folders (state, cgroup).
const maxIDLength = 255

// ValidateID checks a container's id: letters, digits and "_+-.", but not "." or "..", since the id becomes a folder's
// name. errors.Is(err, ErrInvalidID) holds for the error, which does not name the id: who deals with a container
// names it in all errors.
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
