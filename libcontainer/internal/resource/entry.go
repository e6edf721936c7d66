package resource

import (
	"encoding/hex"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/state"
)

// Entry is a container's directory and record below the state root. The first creator of an id owns
// it.
type Entry struct {
	Dir *state.Dir // nil until the id is taken
	Rec *state.Record

	Socket *os.File // the start socket, until the process has it; nil without one
}

// Take creates the directory for the record's id.
func (e *Entry) Take(root string, rec *state.Record) (err error) {
	e.Rec = rec
	e.Dir, err = state.Open(root).Create(rec.ID)
	return err
}

// Write writes the record.
func (e *Entry) Write() error { return e.Dir.Write(e.Rec) }

// Listen creates the start socket. In the end only the container's process must hold it.
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

// NewKeyringName returns an unguessable name for the session keyring of a new container. Nobody can
// prepare a keyring of that name for the container to join, and a neighbour cannot join the
// container's. The record stores the name for exec.
func NewKeyringName(id string) (string, error) {
	secret := make([]byte, 16)
	// crypto/rand would run its self-test at each start of the program, which takes 0.08 ms.
	if _, err := unix.Getrandom(secret, 0); err != nil {
		return "", fmt.Errorf("getrandom: %w", err)
	}
	return "_ses." + id + "." + hex.EncodeToString(secret), nil
}
