package libcontainer

import (
	"encoding/hex"
	"fmt"

	"golang.org/x/sys/unix"
)

// newKeyringName returns a name for the session keyring of a new container. Nobody can guess it: a keyring
// of that name cannot be waiting to be joined by the container, and a neighbor cannot join the
// container's. The record keeps it for exec.
func newKeyringName(id string) (string, error) {
	secret := make([]byte, 16)
	// crypto/rand would test itself at each start of the program, which takes 0.08 ms.
	if _, err := unix.Getrandom(secret, 0); err != nil {
		return "", fmt.Errorf("getrandom: %w", err)
	}
	return "_ses." + id + "." + hex.EncodeToString(secret), nil
}
