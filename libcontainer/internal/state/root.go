// Package state keeps what the runtime knows of a container between two commands: one folder per container, with a
// lock, an atomically replaced record, and the socket at which a created container waits for its start.
//
// A root holds one folder per container, named by the container's id:
//
//	/run/orlop/            Root
//	    ID/                Dir
//	        record         Record, always whole
//	        record.new     what a killed Write left
//	        start.sock     the socket of a created container
//	        notify/        what a container sees that can say it is ready
//	        doomed         tells the creator that the container is to be deleted
//	    ~0123456789abcdef  a folder on its way in or out: what a killed Create or Remove left
//
// A folder comes into being under a name that is no container id, is locked there, and is then renamed to its id without
// replacing anything: so of two creators one wins, and nobody ever sees a folder that its creator has not locked. The folder goes
// the same way back, so that a reader sees all of it or nothing.
//
// # Who may do what
//
// Three things tell commands apart that work on one container at the same time. None of them outlives its holder.
//
//	lock      flock(2) on the folder. It is for changes, and short: nobody holds it while a hook runs, or while a process of the container
//	          or another program is to answer. Who wants it waits for a limited time.
//	creating  a mark (fcntl(2)'s locks) that the creator has from Create until Created: it is at work. Nobody else changes or removes anything
//	          of the container meanwhile. Who wants it gone calls Doom, ends what the creator may wait for, and then AwaitCreator.
//	starting  a mark that one of those has which start the container: the others need not try.
//
//	method                                        needs
//	Create                                        nothing; returns with lock and creating
//	Read, Creating, Probe, Connect, OpenNotify    nothing
//	Write, Listen, MakeNotify, Created            creating
//	Start                                         lock
//	Doom                                          lock, and the right to remove the container
//	Remove                                        lock, and either creating or that nobody has it
//
// The creator keeps the lock until the record tells the container's process, so that who wants to delete the container and gets the lock
// knows what to kill; from there on it is at work without.
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

// The first two texts are contracts with the engines, which match on them.
var (
	// ErrExist says that the id is taken. containerd and CRI-O match on the text.
	ErrExist = errors.New("container with given ID already exists")
	// ErrNotExist says that there is no container of this id, or none any more. containerd takes the text as "deleted".
	ErrNotExist = errors.New("container does not exist")
	// ErrInvalidID says that the id cannot name a folder.
	ErrInvalidID = specconv.ErrInvalidID
	// ErrNoRecord says that the folder is there but was never completed: its creator is still at work (it then holds the
	// lock) or was killed. Remove removes it.
	ErrNoRecord = errors.New("record missing: create has not finished or was killed")
	// ErrForeign says that the folder is another runtime's, which was called with the same root: its container must not be taken for what
	// a killed create left, and removed.
	ErrForeign = errors.New("state of another runtime, which has to be used for it")
	// ErrVersion says that a newer orlop wrote the record.
	ErrVersion = errors.New("record is of a newer version")
	// ErrDamaged says that the record is not what Write writes.
	ErrDamaged = errors.New("record is damaged")
)

// transit is the first character of the names of folders on their way in or out. No container id has it.
const transit = "~"

// Root is the folder that holds the state folders of all containers.
type Root struct {
	path string
}

// Open returns the root at path. It does no I/O: the folder is made by the first Create.
func Open(path string) *Root { return &Root{path: path} }

// Path returns the path that the root was opened with.
func (r *Root) Path() string { return r.path }

// Create makes the folder of a new container and returns it locked and marked as being created. The error is ErrExist when the id is taken.
// The caller ends with Created and Close, or with Remove.
func (r *Root) Create(id string) (*Dir, error) {
	if !validName(id) {
		return nil, ErrInvalidID
	}
	for {
		d, err := r.create(id)
		// Something swept our folder away before it was locked: once more.
		if errors.Is(err, errSwept) {
			continue
		}
		return d, err
	}
}

var errSwept = errors.New("folder swept away")

// sweepLimit is how long a sweeper may take to remove an empty folder.
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
	// A sweeper may hold the lock for a moment; it is about to remove the folder, and the rename finds that out.
	if err := d.flock(sweepLimit, time.Now().Add(sweepLimit)); err != nil {
		return nil, err
	}
	if err := d.mark(markCreating, unix.F_RDLCK); err != nil {
		return nil, err
	}
	// A plain rename would replace an empty folder, which is what another creator may just have.
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

// mkdir makes a folder with a transit name, and the root if there is none, and returns the name.
func (r *Root) mkdir() (string, error) {
	for {
		name := transitName()
		err := os.Mkdir(filepath.Join(r.path, name), 0o700)
		if err == nil {
			return name, nil
		}
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		// Sticky: the XDG Base Directory Specification lets whatever lies in $XDG_RUNTIME_DIR be cleaned away unless it
		// is touched every six hours or has that bit.
		if err := os.MkdirAll(r.path, 0o700|os.ModeSticky); err != nil {
			return "", err
		}
	}
}

// transitName returns a name that is no container id and that nobody else has.
func transitName() string {
	// Random numbers take 0.02 ms more, the first time. Of two callers in one nanosecond, one tries again.
	return transit + strconv.FormatInt(time.Now().UnixNano(), 16) + "." + strconv.Itoa(os.Getpid())
}

// Open opens the folder of the container with this id, unlocked. The error is ErrNotExist when there is none. That the
// folder is complete is for Read to say, which gives ErrNoRecord for what a killed create left.
func (r *Root) Open(id string) (*Dir, error) {
	if !validName(id) {
		return nil, ErrInvalidID
	}
	return openDir(r, id, filepath.Join(r.path, id))
}

// List returns the ids of all containers, sorted, those that a killed create left included. A container may be gone by
// the time that it is opened. On the way it removes what killed calls of Create and Remove left under transit names.
func (r *Root) List() ([]string, error) {
	ids, transits, err := r.entries()
	for _, name := range transits {
		r.sweep(name)
	}
	sort.Strings(ids)
	return ids, err
}

// Sweep removes what killed calls of Create and Remove left under transit names, none of which has a container's id.
// Errors do not matter: the next one sweeps.
func (r *Root) Sweep() {
	_, transits, _ := r.entries()
	for _, name := range transits {
		r.sweep(name)
	}
}

// entries returns the names of all folders: the containers' ids and those in transit.
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

// sweep removes a folder with a transit name unless somebody holds its lock. Errors do not matter: the next one sweeps.
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
	// Between the look at the root and the lock its creator may have renamed the folder to its id; the path is then
	// gone, and what was opened is not touched.
	_ = os.RemoveAll(path)
}

// validName guards the root against ids that lead out of it or into the transit names. What an id may consist of is
// specconv's to say.
func validName(id string) bool {
	return id != "" && id != "." && id != ".." && len(id) <= unix.NAME_MAX &&
		!strings.HasPrefix(id, transit) && !strings.ContainsAny(id, "/\x00")
}
