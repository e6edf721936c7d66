package state

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/libcontainer/timeout"
)

// Lock waits for the container's lock. The error is ErrNotExist when the container has been removed
// meanwhile, and a *LockError after limit. If the container was removed and created again, the lock
// is the new one's: discard what was read before Lock.
func (d *Dir) Lock(limit time.Duration) error { return d.lock(limit, d.reopen) }

// LockSame is Lock for a caller that has already acted on the container: if it was created again,
// the error is ErrNotExist, too.
func (d *Dir) LockSame(limit time.Duration) error {
	return d.lock(limit, func() error { return ErrNotExist })
}

// TryLock is Lock without waiting: it returns false when another Dir holds the lock.
func (d *Dir) TryLock() (bool, error) {
	err := d.lock(0, d.reopen)
	var held *LockError
	if errors.As(err, &held) {
		return false, nil
	}
	return err == nil, err
}

// Unlock releases the lock. Marks stay.
func (d *Dir) Unlock() error {
	if err := sys.RetryErr(func() error { return unix.Flock(d.fd, unix.LOCK_UN) }); err != nil {
		return &os.PathError{Op: "unlock", Path: d.Path(), Err: err}
	}
	return nil
}

// lock locks the directory and then checks that its path still names it: the previous holder may
// have removed the directory, and another process may have created a new one of the same name.
// lock calls moved if the path names another directory.
func (d *Dir) lock(limit time.Duration, moved func() error) error {
	deadline := time.Now().Add(limit)
	for {
		if err := d.flock(limit, deadline); err != nil {
			return err
		}
		current, err := d.current()
		if current {
			return nil
		}
		if err == nil {
			err = moved()
		}
		if err != nil {
			_ = d.Unlock()
			return err
		}
	}
}

// flock locks the open directory. It polls because flock(2) has no timeout; locks are held briefly
// and few processes wait.
func (d *Dir) flock(limit time.Duration, deadline time.Time) error {
	for pause := 100 * time.Microsecond; ; pause = min(2*pause, longestPause) {
		err := sys.RetryErr(func() error { return unix.Flock(d.fd, unix.LOCK_EX|unix.LOCK_NB) })
		if err == nil {
			return nil
		}
		if err != unix.EWOULDBLOCK {
			return &os.PathError{Op: "lock", Path: d.Path(), Err: err}
		}
		if limit == 0 {
			return &LockError{Path: d.Path()}
		}
		if !time.Now().Before(deadline) {
			return &LockError{Path: d.Path(), Limit: limit, Holders: d.holders("FLOCK")}
		}
		time.Sleep(pause)
	}
}

// longestPause is the longest pause between two attempts at a lock or a mark.
const longestPause = 5 * time.Millisecond

// LockError reports that the lock was not acquired in time.
type LockError struct {
	Path    string
	Limit   time.Duration
	Holders []Holder
}

// Error implements error. It names the holders.
func (e *LockError) Error() string {
	return fmt.Sprintf("waited %v for the lock on %s%s", e.Limit, e.Path, heldBy(e.Holders))
}

// Is makes errors.Is report that a LockError is os.ErrDeadlineExceeded.
func (e *LockError) Is(target error) bool { return target == os.ErrDeadlineExceeded }

// Marks are open file description locks (fcntl_locking(2)) on the directory. They are independent
// of flock(2), and nobody blocks on them. Each locks one byte, which need not exist. They are read
// locks since a directory cannot be opened for writing.
const (
	markCreating = 0
	markStarting = 1
)

func (d *Dir) mark(byte int64, kind int16) error {
	lock := unix.Flock_t{Type: kind, Start: byte, Len: 1}
	if err := sys.RetryErr(func() error { return unix.FcntlFlock(uintptr(d.fd), unix.F_OFD_SETLK, &lock) }); err != nil {
		return &os.PathError{Op: "mark", Path: d.Path(), Err: err}
	}
	return nil
}

// marked reports whether another Dir has set the mark.
func (d *Dir) marked(byte int64) (bool, error) {
	lock := unix.Flock_t{Type: unix.F_WRLCK, Start: byte, Len: 1}
	if err := sys.RetryErr(func() error { return unix.FcntlFlock(uintptr(d.fd), unix.F_OFD_GETLK, &lock) }); err != nil {
		return false, &os.PathError{Op: "query mark", Path: d.Path(), Err: err}
	}
	return lock.Type != unix.F_UNLCK, nil
}

// Creating reports whether the creator of the directory is still at work: it has not called Created
// or Close, and was not killed.
func (d *Dir) Creating() (bool, error) { return d.marked(markCreating) }

// Created clears the mark that Creating looks for. Only the creator may call it.
func (d *Dir) Created() error { return d.mark(markCreating, unix.F_UNLCK) }

// Start marks the container as being started, until d is closed. It returns false when another Dir
// has set that mark. The caller holds the Lock.
func (d *Dir) Start() (bool, error) {
	starting, err := d.marked(markStarting)
	if err != nil || starting {
		return false, err
	}
	return true, d.mark(markStarting, unix.F_RDLCK)
}

// Doom tells the creator that the container is to be deleted. The caller holds the Lock. Only the
// creator knows what it has created so far, and must remove it. The caller then ends whatever the
// creator waits for, and calls AwaitCreator.
func (d *Dir) Doom() error {
	if err := d.writeFile(doomedName, nil); err != nil {
		return &os.PathError{Op: "write", Path: filepath.Join(d.Path(), doomedName), Err: err}
	}
	return nil
}

// Doomed reports whether Doom was called.
func (d *Dir) Doomed() bool { return unix.Faccessat(d.fd, doomedName, unix.F_OK, 0) == nil }

// AwaitCreator waits until the creator has finished. After limit it returns an error that names the
// creator.
func (d *Dir) AwaitCreator(limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for pause := 100 * time.Microsecond; ; pause = min(2*pause, longestPause) {
		creating, err := d.Creating()
		if err != nil || !creating {
			return err
		}
		if !time.Now().Before(deadline) {
			return timeout.Errorf("waited %v for the end of the container's creation%s", limit, heldBy(d.holders("OFDLCK")))
		}
		time.Sleep(pause)
	}
}

// Holder is a process that holds a lock.
type Holder struct {
	PID     int
	Command string // the beginning of its command line
}

func heldBy(list []Holder) string {
	var b strings.Builder
	for i, h := range list {
		b.WriteString([...]string{", held by ", " and "}[min(i, 1)])
		fmt.Fprintf(&b, "process %d", h.PID)
		if h.Command != "" {
			fmt.Fprintf(&b, " (%s)", h.Command)
		}
	}
	return b.String()
}

// holders returns the processes that hold a lock on the directory. kind is the lock's name in
// /proc/PID/fdinfo/N (proc_pid_fdinfo(5)). The list is for messages only and omits processes that
// the caller may not inspect.
func (d *Dir) holders(kind string) []Holder {
	var list []Holder
	descriptors, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, path := range descriptors {
		if to, err := os.Readlink(path); err != nil || to != d.Path() {
			continue
		}
		proc, number := filepath.Dir(filepath.Dir(path)), filepath.Base(path)
		info, err := os.ReadFile(filepath.Join(proc, "fdinfo", number))
		if err != nil || !bytes.Contains(info, []byte(": "+kind)) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(proc))
		if err != nil || len(list) > 0 && list[len(list)-1].PID == pid {
			continue
		}
		list = append(list, Holder{PID: pid, Command: command(proc)})
	}
	return list
}

// command returns the beginning of a process's command line.
func command(proc string) string {
	data, err := os.ReadFile(proc + "/cmdline")
	if err != nil {
		return ""
	}
	const most = 100
	words := strings.Split(strings.TrimRight(string(data), "\x00"), "\x00")
	words[0] = filepath.Base(words[0])
	line := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.Join(words, " "))
	if len(line) > most {
		line = line[:most] + "..."
	}
	return line
}

// WatchRemoval returns a file descriptor that becomes readable when the directory is removed. The
// error is ErrNotExist when that has already happened.
func (d *Dir) WatchRemoval() (*os.File, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("watch %s: inotify: %w", d.Path(), err)
	}
	// Watched by its file descriptor, since the path may name another directory by now. Remove
	// renames the directory before it removes it.
	path := sys.FdPath(d.fd)
	if _, err := unix.InotifyAddWatch(fd, path, unix.IN_MOVE_SELF|unix.IN_DELETE_SELF); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("watch %s: inotify: %w", d.Path(), err)
	}
	if current, err := d.current(); !current {
		unix.Close(fd)
		if err == nil {
			err = ErrNotExist
		}
		return nil, err
	}
	return os.NewFile(uintptr(fd), "inotify"), nil
}
