package cli

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// firstFD is the first file descriptor after the standard streams.
const firstFD = 3

// inheritance is what a container's process inherits from the caller besides the standard streams.
type inheritance struct {
	files []*os.File // descriptors 3, 4, ...
	env   []string   // describes them
	// pidVariable is the name of a variable for the PID of the process.
	pidVariable string
}

// The variables of socket activation (sd_listen_fds(3)).
const (
	listenFDs   = "LISTEN_FDS"
	listenPID   = "LISTEN_PID"
	listenNames = "LISTEN_FDNAMES"
)

// withoutListen returns an environment without the variables of socket activation.
func withoutListen(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(entry string) bool {
		key, _, _ := strings.Cut(entry, "=")
		return key == listenFDs || key == listenPID || key == listenNames
	})
}

// inherited returns the inherited file descriptors: with listen those of socket activation
// (sd_listen_fds(3)), then preserve more.
func inherited(preserve int, listen bool) (inheritance, error) {
	var in inheritance
	if preserve < 0 {
		return in, usagef("--preserve-fds %d: must not be negative", preserve)
	}
	next := firstFD
	if listen {
		n, err := listened(os.Getenv, os.Getpid())
		if err != nil {
			return in, err
		}
		for ; next < firstFD+n; next++ {
			if err := in.take(next); err != nil {
				return in, fmt.Errorf("LISTEN_FDS: descriptor %d: %w", next, err)
			}
		}
		if n > 0 {
			in.env = []string{listenFDs + "=" + strconv.Itoa(n)}
			if names := os.Getenv(listenNames); names != "" {
				in.env = append(in.env, listenNames+"="+names)
			}
			in.pidVariable = listenPID
		}
	}
	for i := range preserve {
		if err := in.take(next + i); err != nil {
			return in, fmt.Errorf("unable to stat preserved-fd %d (of %d): %w", i, preserve, err)
		}
	}
	return in, nil
}

// take adds a file descriptor that the caller left open. One with close-on-exec is our own, since
// it did not survive the exec.
func (in *inheritance) take(fd int) error {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err == nil && flags&unix.FD_CLOEXEC != 0 {
		err = unix.EBADF
	}
	if err != nil {
		return err
	}
	in.files = append(in.files, os.NewFile(uintptr(fd), "descriptor "+strconv.Itoa(fd)))
	return nil
}

// listened returns the number of file descriptors passed by socket activation to the process
// LISTEN_PID.
func listened(getenv func(string) string, pid int) (int, error) {
	count := getenv(listenFDs)
	if count == "" || getenv(listenPID) != strconv.Itoa(pid) {
		return 0, nil
	}
	n, err := strconv.ParseUint(count, 10, 16)
	if err != nil {
		return 0, usagef("LISTEN_FDS=%q: must be a number of file descriptors", count)
	}
	return int(n), nil
}
