package resource

import (
	"encoding/hex"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/state"
)

// Entry is a container's directory and record in the state directory. The first creator of an id
// has it.
type Entry struct {
	Dir *state.Dir // nil until the id is taken
	Rec *state.Record

	Socket *os.File // the start socket, until the process has it; nil without one
}

// Take takes the id for a record.
func (e *Entry) Take(root string, rec *state.Record) (err error) {
	e.Rec = rec
	e.Dir, err = state.Open(root).Create(rec.ID)
	return err
}

// Write writes the record.
func (e *Entry) Write() error { return e.Dir.Write(e.Rec) }

// Listen makes the start socket. The container's process is to be the only one that holds it.
func (e *Entry) Listen() (err error) {
	e.Socket, err = e.Dir.Listen()
	return err
}

// Record implements Resource.
func (e *Entry) Record(*state.Record) error { return nil }

// Prepare implements Resource.
func (e *Entry) Prepare() error { return nil }

// Undo implements Resource.
func (e *Entry) Undo() error { return e.Dir.Remove() }

// Release closes the start socket.
func (e *Entry) Release() {
	if e.Socket != nil {
		e.Socket.Close()
		e.Socket = nil
	}
}

// NewKeyringName returns a name for the session keyring of a new container, which nobody can guess:
// a keyring of that name cannot wait to be joined by the container, and a neighbour cannot join the
// container's. The record keeps it for exec.
func NewKeyringName(id string) (string, error) {
	secret := make([]byte, 16)
	// crypto/rand would test itself at each start of the program, which takes 0.08 ms.
	if _, err := unix.Getrandom(secret, 0); err != nil {
		return "", fmt.Errorf("getrandom: %w", err)
	}
	return "_ses." + id + "." + hex.EncodeToString(secret), nil
}
