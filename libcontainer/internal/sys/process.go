package sys

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Process is what distinguishes a process from a later one with the same PID, and a dead process
// from a live one.
type Process struct {
	// Name is the name of the program it executed last, cut to 15 bytes, or what it set itself.
	Name string
	// State is the state letter of proc_pid_stat(5).
	State byte
	// Parent is the PID of its parent.
	Parent int
	// StartTime is when it started, in clock ticks since boot.
	StartTime uint64
}

// Dead reports whether the process has ended and waits to be reaped.
func (p Process) Dead() bool { return p.State == 'Z' || p.State == 'X' || p.State == 'x' }

// ErrNoProcess says that a process does not exist, or no longer exists.
var ErrNoProcess = errors.New("no such process")

// Stat looks up a process in /proc. The error is ErrNoProcess if no process has this PID.
func Stat(pid int) (Process, error) { return StatDir("/proc/" + strconv.Itoa(pid)) }

// StatDir is Stat for the directory of a process or thread in /proc.
func StatDir(dir string) (Process, error) {
	path := dir + "/stat"
	// The line has 52 numbers and a name of at most 64 bytes. It is far shorter than this buffer,
	// and one read(2) returns all of it.
	var buf [2048]byte
	n, err := readProc(path, buf[:])
	if err == unix.ENOENT || err == unix.ESRCH {
		return Process{}, ErrNoProcess
	}
	if err != nil {
		return Process{}, &os.PathError{Op: "read", Path: path, Err: err}
	}
	p, err := parseStat(buf[:n])
	if err != nil {
		return Process{}, fmt.Errorf("read %s: %w", path, err)
	}
	return p, nil
}

func readProc(path string, buf []byte) (n int, err error) {
	fd, err := OpenFd(path, unix.O_RDONLY)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	return Retry(func() (int, error) { return unix.Read(fd, buf) })
}

// parseStat reads fields 3, 4 and 22 of a line of /proc/PID/stat.
func parseStat(line []byte) (Process, error) {
	// A process may set its name, field 2, to anything, including blanks, parentheses and newlines:
	// only the last parenthesis ends it.
	i, name := bytes.LastIndexByte(line, ')'), bytes.IndexByte(line, '(')+1
	if name == 0 || i < name {
		return Process{}, errors.New("no process name")
	}
	const state, parent, startTime = 3, 4, 22
	rest := bytes.TrimSpace(line[i+1:])
	p := Process{Name: string(line[name:i])}
	for field := state; ; field++ {
		value, tail, more := bytes.Cut(rest, []byte{' '})
		switch field {
		case state:
			if len(value) != 1 {
				return Process{}, fmt.Errorf("state %q", value)
			}
			p.State = value[0]
		case parent:
			n, err := strconv.Atoi(string(value))
			if err != nil {
				return Process{}, fmt.Errorf("parent: %w", err)
			}
			p.Parent = n
		case startTime:
			t, err := strconv.ParseUint(string(value), 10, 64)
			if err != nil {
				return Process{}, fmt.Errorf("start time: %w", err)
			}
			if !more {
				return Process{}, errors.New("start time: cut off")
			}
			p.StartTime = t
			return p, nil
		}
		if !more {
			return Process{}, fmt.Errorf("no field %d", field+1)
		}
		rest = tail
	}
}

// Alive reports whether the process with this PID and start time is alive: not dead but unreaped,
// and not a later process with the same PID.
func Alive(pid int, startTime uint64) (bool, error) {
	if pid <= 0 {
		return false, nil
	}
	p, err := Stat(pid)
	if errors.Is(err, ErrNoProcess) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return p.StartTime == startTime && !p.Dead(), nil
}

// Pidfd opens a pidfd of the live process with this PID and start time. The error is ErrNoProcess
// if it is not alive.
func Pidfd(pid int, startTime uint64) (*os.File, error) {
	if pid <= 0 {
		return nil, ErrNoProcess
	}
	f, err := OpenPidfd(pid)
	// EINVAL: the PID has been reused as the id of a thread.
	if err == unix.ESRCH || err == unix.EINVAL {
		return nil, ErrNoProcess
	}
	if err != nil {
		return nil, fmt.Errorf("open pidfd of %d: %w", pid, err)
	}
	// Checked after opening: if the PID still names that process, the pidfd refers to it.
	alive, err := Alive(pid, startTime)
	if err == nil && !alive {
		err = ErrNoProcess
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
