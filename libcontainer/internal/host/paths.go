package host

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/needs"
)

// reason returns the text of an error without the path, which the need already names.
func reason(err error) string {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		return e.Err.Error()
	}
	return err.Error()
}

// path checks that a path exists on the host and the caller can reach it.
func (a *asking) path(n needs.Need) error {
	if _, err := os.Stat(n.Name); err != nil {
		return lacks("%s: %s", n.Name, reason(err))
	}
	return nil
}

// socket looks for a socket.
func (a *asking) socket(n needs.Need) error {
	info, err := os.Stat(n.Name)
	switch {
	case err != nil:
		return lacks("%s: %s", n.Name, reason(err))
	case info.Mode().Type() != fs.ModeSocket:
		return lacks("%s: not a socket", n.Name)
	}
	return nil
}

// hostProgram looks for a program on the host that the caller can execute.
func (a *asking) hostProgram(n needs.Need) error {
	if _, err := exec.LookPath(n.Name); err != nil {
		if e := (*exec.Error)(nil); errors.As(err, &e) {
			err = e.Err
		}
		return lacks("%s: %s", n.Name, reason(err))
	}
	return nil
}

// writable checks whether a directory is writable, or could be made if it does not exist.
func (a *asking) writable(n needs.Need) error {
	dir := n.Name
	for {
		info, err := os.Stat(dir)
		if errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir) {
			dir = filepath.Dir(dir)
			continue
		}
		if err == nil && !info.IsDir() {
			err = unix.ENOTDIR
		}
		if err == nil {
			err = unix.Faccessat2(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
		}
		if err != nil {
			return lacks("%s: %s", dir, reason(err))
		}
		return nil
	}
}
