// Package state stores what the runtime knows of a container between two commands: one directory
// per container, with a lock, an atomically replaced record, and the socket at which a created
// container waits for its start.
//
// A root holds one directory per container, named after the container's id:
//
//	/run/orlop/            Root
//	    ID/                Dir
//	        record         Record, always whole
//	        record.new     left by a killed Write
//	        start.sock     the socket of a created container
//	        notify/        the directory of the notify socket, which the container sees
//	        doomed         tells the creator that the container is to be deleted
//	    ~0123456789abcdef  a directory being created or removed, or left by a killed Create or Remove
//
// A directory is created under a name that cannot be a container id, locked, and then renamed to
// its id without replacing anything. Of two creators one wins, and nobody ever sees a directory
// that its creator has not locked. Removal takes the same way back: a reader sees the whole
// directory or none.
//
// # Concurrency
//
// Three locks coordinate commands that work on one container at the same time. None of them
// outlives its holder.
//
//	lock      flock(2) on the directory, for changes. It is held briefly: never while a hook runs, or
//	          while the holder waits for a process of the container or another program. Waiting for
//	          it has a timeout.
//	creating  a mark (an fcntl(2) lock) that the creator holds from Create until Created. Nobody else
//	          changes or removes anything of the container meanwhile. To delete the container, call
//	          Doom, end what the creator may wait for, and call AwaitCreator.
//	starting  a mark that the command holds that starts the container: others need not try.
//
//	method                                        needs
//	Create                                        nothing; returns with lock and creating
//	Read, Creating, Probe, Connect, OpenNotify    nothing
//	Write, Listen, MakeNotify, Created            creating
//	Start                                         lock
//	Doom                                          lock, and the right to remove the container
//	Remove                                        lock, and either creating or that nobody has it
//
// The creator keeps the lock until the record names the container's process: a command that then
// gets the lock to delete the container knows what to kill. The creator does the rest of its work
// without the lock.
package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/specconv"
)

// The first two texts must not change: engines match on them.
var (
	// ErrExist says that the id is taken. containerd and CRI-O match on the text.
	ErrExist = errors.New("container with given ID already exists")
	// ErrNotExist says that no container has this id, or none any more. containerd takes the text
	// as "deleted".
	ErrNotExist = errors.New("container does not exist")
	// ErrInvalidID says that the id cannot name a directory.
	ErrInvalidID = specconv.ErrInvalidID
	// ErrNoRecord says that the directory was never completed: its creator is still at work (it then
	// holds the lock) or was killed. Remove removes it.
	ErrNoRecord = errors.New("record missing: create has not finished or was killed")
	// ErrForeign says that the directory belongs to another runtime, which was called with the same
	// root. Its container must not be mistaken for what a killed create left, and removed.
	ErrForeign = errors.New("state of another runtime, which has to be used for it")
	// ErrVersion says that a newer orlop wrote the record.
	ErrVersion = errors.New("record is of a newer version")
	// ErrDamaged says that the record is not what Write writes.
	ErrDamaged = errors.New("record is damaged")
)

// transit is the first character of the names of directories that are being created or removed. No
// container id begins with it.
const transit = "~"

// Root is the directory that holds the state directories of all containers.
type Root struct {
	path string
}

// Open returns the root at path. It does no I/O: the first Create creates the directory.
func Open(path string) *Root { return &Root{path: path} }

// Path returns the path that the root was opened with.
func (r *Root) Path() string { return r.path }

// Create creates the directory of a new container and returns it locked and marked as being
// created. The error is ErrExist when the id is taken. The caller ends with Created and Close, or
// with Remove.
func (r *Root) Create(id string) (*Dir, error) {
	if !validName(id) {
		return nil, ErrInvalidID
	}
	for {
		d, err := r.create(id)
		// A sweeper removed the directory before it was locked.
		if errors.Is(err, errSwept) {
			continue
		}
		return d, err
	}
}

var errSwept = errors.New("directory swept away")

// sweepLimit is how long a sweeper may take to remove an empty directory.
const sweepLimit = 10 * time.Second

// create is one attempt of Create: make, lock, rename.
func (r *Root) create(id string) (_ *Dir, err error) {
	name, err := r.mkdir()
	if err != nil {
		return nil, err
	}
	tmp := filepath.Join(r.path, name)
	defer func() {
		if err != nil {
			_ = unix.Rmdir(tmp)
		}
	}()
	d, err := openDir(r, id, tmp)
	if errors.Is(err, ErrNotExist) {
		return nil, errSwept
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = d.Close()
		}
	}()
	// A sweeper may hold the lock for a moment. It is about to remove the directory, and the rename
	// then fails.
	if err := d.flock(sweepLimit, time.Now().Add(sweepLimit)); err != nil {
		return nil, err
	}
	if err := d.mark(markCreating, unix.F_RDLCK); err != nil {
		return nil, err
	}
	// A plain rename would replace an empty directory, which another creator may just have made.
	err = sys.RetryErr(func() error {
		return unix.Renameat2(unix.AT_FDCWD, tmp, unix.AT_FDCWD, d.Path(), unix.RENAME_NOREPLACE)
	})
	switch {
	case err == nil:
		return d, nil
	case err == unix.EEXIST:
		return nil, ErrExist
	case err == unix.ENOENT:
		return nil, errSwept
	}
	return nil, &os.LinkError{Op: "rename", Old: tmp, New: d.Path(), Err: err}
}

// mkdir creates a directory with a transit name, and the root if necessary, and returns the name.
func (r *Root) mkdir() (string, error) {
	for made := false; ; {
		name := transitName()
		err := os.Mkdir(filepath.Join(r.path, name), 0o700)
		if err == nil {
			return name, nil
		}
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if made || !errors.Is(err, os.ErrNotExist) { // in /proc also where the root exists
			return "", err
		}
		made = true
		// Sticky: the XDG Base Directory Specification allows files in $XDG_RUNTIME_DIR to be
		// cleaned up unless they are touched every six hours or have this bit.
		if err := os.MkdirAll(r.path, 0o700|os.ModeSticky); err != nil {
			return "", err
		}
	}
}

// transitName returns a name that no container id and no other directory has.
func transitName() string {
	// The first random number would cost 0.02 ms more. If two callers collide in one nanosecond, one
	// tries again.
	return transit + strconv.FormatInt(time.Now().UnixNano(), 16) + "." + strconv.Itoa(os.Getpid())
}

// Open opens the directory of the container with this id, unlocked. The error is ErrNotExist when
// there is none. Open does not check that the directory is complete: Read returns ErrNoRecord for
// what a killed create left.
func (r *Root) Open(id string) (*Dir, error) {
	if !validName(id) {
		return nil, ErrInvalidID
	}
	return openDir(r, id, filepath.Join(r.path, id))
}

// List returns the sorted ids of all containers, including those that a killed create left. A
// container may be gone by the time it is opened. List sweeps like Sweep.
func (r *Root) List() ([]string, error) {
	ids, transits, err := r.entries()
	for _, name := range transits {
		r.sweep(name)
	}
	sort.Strings(ids)
	return ids, err
}

// Sweep removes what killed calls of Create and Remove left under transit names. Errors do not
// matter: the next call tries again.
func (r *Root) Sweep() {
	_, transits, _ := r.entries()
	for _, name := range transits {
		r.sweep(name)
	}
}

// entries returns the names of all directories: the containers' ids and the transit names.
func (r *Root) entries() (ids, transits []string, err error) {
	f, err := os.Open(r.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", r.path, err)
	}
	for _, e := range entries {
		switch {
		case !e.IsDir():
		case strings.HasPrefix(e.Name(), transit):
			transits = append(transits, e.Name())
		default:
			ids = append(ids, e.Name())
		}
	}
	return ids, transits, nil
}

// sweep removes a directory with a transit name unless a process holds its lock. Errors do not
// matter: the next call tries again.
func (r *Root) sweep(name string) {
	path := filepath.Join(r.path, name)
	d, err := openDir(r, name, path)
	if err != nil {
		return
	}
	defer d.Close()
	if sys.RetryErr(func() error { return unix.Flock(d.fd, unix.LOCK_EX|unix.LOCK_NB) }) != nil {
		return
	}
	// The creator may have renamed the directory to its id since the root was read. The path is then
	// gone, and the opened directory is not touched.
	_ = os.RemoveAll(path)
}

// validName rejects ids that lead out of the root or into the transit names. specconv checks the
// characters of an id.
func validName(id string) bool {
	return id != "" && id != "." && id != ".." && len(id) <= unix.NAME_MAX &&
		!strings.HasPrefix(id, transit) && !strings.ContainsAny(id, "/\x00")
}
