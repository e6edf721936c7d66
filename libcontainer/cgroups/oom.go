package cgroups

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
)

// An OOMWatch waits for the kernel to run out of memory for a cgroup. It does not poll: the kernel
// wakes it.
//
// The kernel's two versions report different things. cgroup2 counts the processes that were killed
// in the cgroup and below it, whichever limit was reached. v1 reports that a limit of this cgroup,
// or of one above it, was reached and nothing could be freed. It does so right before it kills, or
// before it stops the allocating process if linux.resources.memory.disableOOMKiller is set. It does
// not report limits of cgroups below.
type OOMWatch struct {
	// poll is an epoll descriptor for the events that wake the watch. Go's own poller waits for it,
	// so a Wait does not occupy a thread.
	poll    *os.File
	process *os.File // the caller's pidfd
	memory  oomSource
}

// oomSource is the notification of a memory controller, v1's or cgroup2's.
type oomSource interface {
	// wakes returns the descriptor to wait for, and the events of epoll_ctl(2).
	wakes() (fd int, events uint32)
	// take reports whether memory ran out since the last call. Once the cgroup is gone it never
	// does.
	take() (bool, error)
	close()
}

// WatchOOM starts a watch. process is a pidfd of the process whose exit ends the watch; it must
// stay open as long as the watch.
//
// Without a memory controller only that exit is reported: see [OOMWatch.Sees].
func (m *Manager) WatchOOM(process *os.File) (*OOMWatch, error) {
	w, err := m.watchOOM(process)
	if err != nil {
		return nil, fmt.Errorf("watch for lack of memory: %w", err)
	}
	return w, nil
}

func (m *Manager) watchOOM(process *os.File) (_ *OOMWatch, err error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	err = unix.SetNonblock(epoll, true) // tells os.NewFile that it can be polled
	w := &OOMWatch{poll: os.NewFile(uintptr(epoll), "epoll"), process: process}
	defer func() {
		if err != nil {
			w.Close()
		}
	}()
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	switch f, v := m.controllerDirectory("memory"); {
	case f == nil:
	case v == v1:
		w.memory, err = watchV1(f.dir)
	default:
		w.memory, err = watchV2(f.dir)
	}
	if err != nil {
		return nil, err
	}
	add := func(fd int, events uint32) error {
		return unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events})
	}
	if err = add(int(process.Fd()), unix.EPOLLIN); err == nil && w.memory != nil {
		err = add(w.memory.wakes())
	}
	if err != nil {
		return nil, fmt.Errorf("epoll_ctl: %w", err)
	}
	return w, nil
}

// Sees reports whether the cgroup has a memory controller, so that the watch reports more than the
// exit.
func (w *OOMWatch) Sees() bool { return w.memory != nil }

// Close ends the watch. A Wait in another goroutine returns os.ErrClosed.
func (w *OOMWatch) Close() error {
	// This waits for the last user of poll, and fails the second time. So the others are closed
	// once, and while nothing uses them.
	err := w.poll.Close()
	if err == nil && w.memory != nil {
		w.memory.close()
	}
	return err
}

// Wait returns nil when memory has run out since the watch started, or since it last returned nil;
// simultaneous events count once. It returns io.EOF when the process has exited, and ctx's error
// when ctx is done. It reports lack of memory before the exit that results from it. Two goroutines
// must not wait at the same time.
func (w *OOMWatch) Wait(ctx context.Context) error {
	c, err := w.poll.SyscallConn()
	if err != nil {
		return os.ErrClosed
	}
	var done bool
	var found error
	if c.Control(func(uintptr) { done, found = w.look() }) != nil {
		return os.ErrClosed
	}
	if done {
		return found
	}
	expired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		w.poll.SetReadDeadline(time.Unix(1, 0))
		close(expired)
	})
	err = c.Read(func(epoll uintptr) bool {
		// Reading the epoll descriptor rearms it; look finds out what happened.
		unix.EpollWait(int(epoll), make([]unix.EpollEvent, 2), 0)
		done, found = w.look()
		return done
	})
	if !stop() {
		<-expired
		w.poll.SetReadDeadline(time.Time{})
	}
	switch {
	case err == nil:
		return found
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ctx.Err()
	}
	return os.ErrClosed
}

// look checks once; false means that nothing has happened.
func (w *OOMWatch) look() (bool, error) {
	// In this order: the kernel counts a process, or announces the lack of memory, before it kills.
	ended := sys.Readable(w.process)
	if w.memory != nil {
		if oom, err := w.memory.take(); oom || err != nil {
			return true, err
		}
	}
	if ended {
		return true, io.EOF
	}
	return false, nil
}

// oomV1 is an eventfd that the kernel writes to: kernel document cgroup-v1/memory.rst, "OOM
// Control".
type oomV1 struct{ control, event int }

func watchV1(dir string) (_ oomSource, err error) {
	s := &oomV1{control: -1, event: -1}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.control, err = sys.OpenFd(dir+"/memory.oom_control", unix.O_RDONLY); err != nil {
		return nil, fmt.Errorf("open %s/memory.oom_control: %w", dir, err)
	}
	if s.event, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	value := fmt.Sprint(s.event, " ", s.control)
	if err = writeFile(dir+"/cgroup.event_control", value); err != nil {
		return nil, fmt.Errorf("write %q to %s/cgroup.event_control: %w", value, dir, err)
	}
	return s, nil
}

func (s *oomV1) wakes() (int, uint32) { return s.event, unix.EPOLLIN }

func (s *oomV1) take() (bool, error) {
	var buf [8]byte
	switch _, err := unix.Read(s.event, buf[:]); err {
	case nil:
	case unix.EAGAIN:
		return false, nil
	default:
		return false, fmt.Errorf("read eventfd: %w", err)
	}
	times := binary.NativeEndian.Uint64(buf[:])
	// Removing the cgroup causes one more event, which comes when its files are gone.
	if _, err := unix.Pread(s.control, buf[:], 0); err == unix.ENODEV {
		times--
	}
	return times > 0, nil
}

func (s *oomV1) close() {
	unix.Close(s.control)
	unix.Close(s.event)
}

// oomV2 is the file memory.events, whose changes wake poll: kernel document cgroup-v2.rst, "Memory
// Interface Files".
type oomV2 struct {
	events int
	kills  uint64
}

func watchV2(dir string) (oomSource, error) {
	fd, err := sys.OpenFd(dir+"/memory.events", unix.O_RDONLY)
	if err == unix.ENOENT {
		return nil, nil // the controller is not delegated to the cgroup
	}
	if err != nil {
		return nil, fmt.Errorf("open %s/memory.events: %w", dir, err)
	}
	s := &oomV2{events: fd}
	if _, err := s.take(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *oomV2) wakes() (int, uint32) { return s.events, unix.EPOLLPRI }

// take reads the file, which arms the next wake-up, so no change is missed in between.
func (s *oomV2) take() (bool, error) {
	var buf [1024]byte // a read from the beginning returns all of it, some 100 bytes
	n, err := unix.Pread(s.events, buf[:], 0)
	if err == unix.ENODEV {
		return false, nil
	}
	kills := s.kills
	if err == nil {
		err = parseKeyed(string(buf[:n]), map[string]*uint64{oomKill: &kills})
	}
	if err != nil {
		return false, fmt.Errorf("read memory.events: %w", err)
	}
	oom := kills > s.kills
	s.kills = kills
	return oom, nil
}

func (s *oomV2) close() { unix.Close(s.events) }

// oomKill is the key of the killed processes in memory.events, and in v1's memory.oom_control, since
// kernel 4.13.
const oomKill = "oom_kill"

// OOMKills counts the processes of the cgroup that the kernel has killed because memory ran out.
func (m *Manager) OOMKills() (kills uint64, err error) {
	f, v := m.controllerDirectory("memory")
	if f == nil {
		return 0, nil
	}
	file := "memory.events"
	if v == v1 {
		file = "memory.oom_control"
	}
	c := counters{dir: f.dir}
	c.keyed(file, map[string]*uint64{oomKill: &kills})
	return kills, c.err
}
