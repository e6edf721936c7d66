package cli

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// firstFD is the first descriptor after the standard streams.
const firstFD = 3

// inheritance is what a container's process gets of the caller's beside the standard streams.
type inheritance struct {
	files []*os.File // descriptors 3, 4, ...
	env   []string   // that tells of them
}

// inherited takes the descriptors that are passed on: with listen those of socket activation (sd_listen_fds(3)), and then as
// many more as preserve says.
func inherited(preserve int, listen bool) (inheritance, error) {
	var in inheritance
	if preserve < 0 {
		return in, usagef("--preserve-fds %d: must not be negative", preserve)
	}
	next := firstFD
	if listen {
		n, err := listenFDs(os.Getenv, os.Getpid())
		if err != nil {
			return in, err
		}
		for ; next < firstFD+n; next++ {
			if err := in.take(next); err != nil {
				return in, fmt.Errorf("LISTEN_FDS: descriptor %d: %w", next, err)
			}
		}
		if n > 0 {
			// The process is number 1 where it has a PID namespace of its own.
			in.env = []string{"LISTEN_FDS=" + strconv.Itoa(n), "LISTEN_PID=1"}
			if names := os.Getenv("LISTEN_FDNAMES"); names != "" {
				in.env = append(in.env, "LISTEN_FDNAMES="+names)
			}
		}
	}
	for i := range preserve {
		if err := in.take(next + i); err != nil {
			return in, fmt.Errorf("unable to stat preserved-fd %d (of %d): %w", i, preserve, err)
		}
	}
	return in, nil
}

// take adds a descriptor that the caller left open for us. One that is closed on exec is our own: the caller's could not
// have come here.
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

// listenFDs returns how many descriptors were passed by socket activation. LISTEN_PID says whom they are for.
func listenFDs(getenv func(string) string, pid int) (int, error) {
	count := getenv("LISTEN_FDS")
	if count == "" || getenv("LISTEN_PID") != strconv.Itoa(pid) {
		return 0, nil
	}
	n, err := strconv.ParseUint(count, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("LISTEN_FDS=%q: no number of descriptors", count)
	}
	return int(n), nil
}
