package placement

import (
	"errors"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/orlop/orlop/libcontainer/internal/state"
)

// An owner is a container as its cgroup names it: see cgroups.Owner. Its mark is the time of its
// creation in nanoseconds and the path of its state directory, where others see whether it still
// exists. The next command may use another path, such as a link, so a container recognizes its own
// mark by the time and the id alone.
type owner struct {
	created string
	path    string
}

func ownerOf(rec *state.Record, dir *state.Dir) *owner {
	return &owner{created: strconv.FormatInt(rec.Created.UnixNano(), 10), path: dir.Path()}
}

// Mark implements cgroups.Owner.
func (o *owner) Mark() string {
	path, err := filepath.Abs(o.path)
	if err != nil { // the working directory was removed: others will not find the container
		path = o.path
	}
	return o.created + " " + path
}

// Owns implements cgroups.Owner.
func (o *owner) Owns(mark string) bool {
	created, path, _ := strings.Cut(mark, " ")
	return created == o.created && filepath.Base(path) == filepath.Base(o.path)
}

// Lives implements cgroups.Owner.
func (o *owner) Lives(mark string) bool {
	created, path, _ := strings.Cut(mark, " ")
	d, err := state.Open(filepath.Dir(path)).Open(filepath.Base(path))
	if errors.Is(err, state.ErrNotExist) {
		return false
	}
	if err != nil {
		return true // nobody knows
	}
	defer d.Close()
	rec, err := d.Read()
	switch {
	case errors.Is(err, state.ErrNotExist), errors.Is(err, state.ErrNoRecord): // another container of the same id, as yet without a record
		return false
	case err != nil:
		return true
	}
	return strconv.FormatInt(rec.Created.UnixNano(), 10) == created
}
