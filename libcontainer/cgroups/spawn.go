package cgroups

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/rawfile"
)

// Spawn calls fork so that the process which it starts is born in the container's cgroup; then it writes
// the limits that had to leave room for that.
//
//	caller            a thread of its own
//	  |  go  ------->   LockOSThread
//	  |                 "0" > tasks of each v1 hierarchy; the freezer, when not frozen, last
//	  |                 fork(descriptor of the cgroup2 folder)
//	  |                 "0" > tasks of where it came from: freezer, pids, memory
//	  |  <-- result --  limits that left room: pids.max, small memory limits
//	  |                 "0" > tasks of where it came from: the others
//	  v                 UnlockOSThread
//
// A thread that moves itself alone takes no lock that waits for RCU, in contrast to a process id in cgroup.procs. The
// process is a child of the whole program, as ever, but PR_SET_PDEATHSIG in it means the end of that thread: it
// lives on, unless it cannot be moved back, when it is ended so that no other goroutine gets it.
//
// fork runs on that thread. unifiedFD is for CLONE_INTO_CGROUP (syscall.SysProcAttr.CgroupFD), or -1 where there is no cgroup2;
// Spawn closes it. fork should be short, since until it returns the thread counts in the container's cgroup. If
// it fails with EAGAIN since the container has as many processes as pids.limit lets it, it is called again with some room made.
// The room lasts until it returns: if the process that it starts clones itself once more (to enter a PID namespace), fork
// returns after that at best.
//
// errors.Is(err, ErrFrozen): the cgroup is frozen; see [Manager.SpawnFrozen]. A panic in fork comes out of Spawn. When fork
// succeeded and Spawn fails none the less (a limit could not be written), the process is there, and the caller's to kill.
func (m *Manager) Spawn(fork func(unifiedFD int) error) error {
	return m.spawn(nil, fork, false)
}

// SpawnOn is Spawn on a thread of the caller's: run has that thread call a function, and does not wait for it; nil stands for a thread of
// Spawn's own. The thread is locked to its goroutine and not the main one. What else it was moved to, the process inherits.
func (m *Manager) SpawnOn(run func(do func()), fork func(unifiedFD int) error) error {
	return m.spawn(run, fork, false)
}

// SpawnFrozen is Spawn for a paused container (exec --ignore-paused): the process is born outside of the freezer, so that
// neither the forking thread nor the process between fork and exec stops. It has to join that itself, right before it executes its program,
// by writing "0" to what FreezerTasks gives. run is as SpawnOn's, or nil.
func (m *Manager) SpawnFrozen(run func(do func()), fork func(unifiedFD int) error) error {
	return m.spawn(run, fork, true)
}

// FreezerTasks opens the file by which a process joins the cgroup that Freeze freezes.
func (m *Manager) FreezerTasks() (*os.File, error) {
	file := m.unified.dir + "/cgroup.procs"
	if f := m.v1("freezer"); f != nil {
		file = f.dir + "/tasks"
	}
	return rawfile.Open(file, unix.O_WRONLY)
}

func (m *Manager) spawn(run func(do func()), fork func(unifiedFD int) error, outsideFreezer bool) error {
	m.await()
	unifiedFD := -1
	if m.unified.dir != "" && (!outsideFreezer || m.v1("freezer") != nil) {
		if !outsideFreezer {
			if frozen, err := frozenV2(m.unified.dir); err != nil {
				return err
			} else if frozen {
				return ErrFrozen
			}
		}
		fd, err := open(m.unified.dir, unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return fmt.Errorf("open cgroup %s: %w", m.unified.dir, err)
		}
		defer unix.Close(fd)
		unifiedFD = fd
	}
	s := &spawning{m: m, done: make(chan struct{}), left: make(chan struct{}), outsideFreezer: outsideFreezer}
	s.fork = func() error { return fork(unifiedFD) }
	switch {
	case run != nil:
		m.returned = s.left
		run(s.onThread)
	case len(m.folders) != 0:
		m.returned = s.left
		go s.onThread()
	default: // there is nothing to join by a thread
		if s.forkInside(); s.err == nil {
			s.err = m.tighten()
		}
		return s.err
	}
	<-s.done
	if s.panicked {
		panic(s.panicValue)
	}
	return s.err
}

// Settle waits for the thread of the last Spawn to be out of the cgroup, which takes it some 0.1 ms after Spawn has returned. Who
// forgets the manager calls it before, or the thread is still in the way of somebody else's Delete.
func (m *Manager) Settle() { m.await() }

// await waits for the thread of an earlier Spawn to be out of the cgroup.
func (m *Manager) await() {
	if m.returned != nil {
		<-m.returned
		m.returned = nil
	}
}

// spawning is one Spawn on v1 hierarchies.
type spawning struct {
	m              *Manager
	fork           func() error
	outsideFreezer bool

	joined     []*folder
	err        error
	panicked   bool
	panicValue any
	done       chan struct{} // closed when the result is there
	left       chan struct{} // closed when the thread is out of the cgroup
}

// onThread is a goroutine of its own.
func (s *spawning) onThread() {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// Not the main thread: it stands for the whole process where memory is charged and where the OOM killer looks
		// for a victim, and the Go runtime cannot end it. While it is locked here, a new goroutine gets another one.
		go s.onThread()
		<-s.left
		runtime.UnlockOSThread()
		return
	}
	defer close(s.left)
	finished := false
	defer func() {
		if !finished { // fork panicked, or called runtime.Goexit
			s.panicked, s.panicValue = true, recover()
			if s.panicValue == nil {
				s.panicValue = errors.New("cgroups: fork function called runtime.Goexit")
			}
			s.leave(len(s.joined))
			close(s.done)
		}
	}()

	s.err = s.join()
	if s.err == nil {
		s.forkInside()
	}
	home := s.leave(s.urgent())
	if s.err == nil {
		s.err = s.m.tighten()
	}
	finished = true
	close(s.done)
	if s.leave(len(s.joined)) && home {
		runtime.UnlockOSThread()
	}
	// Else the goroutine ends with the thread locked, which ends the thread too.
}

func (s *spawning) join() error {
	for i := range s.m.folders {
		f := &s.m.folders[i]
		if s.m.memoryLater && f.has("memory") {
			continue
		}
		if f.has("freezer") {
			if s.outsideFreezer {
				continue
			}
			if frozen, err := frozenV1(f.dir); err != nil {
				return err
			} else if frozen {
				return ErrFrozen
			}
		}
		if err := writeFile(f.dir+"/tasks", "0"); err != nil {
			return fmt.Errorf("join cgroup: write 0 to %s/tasks: %w", f.dir, err)
		}
		s.joined = append(s.joined, f)
	}
	return nil
}

func (s *spawning) forkInside() {
	s.err = s.fork()
	if errors.Is(s.err, unix.EAGAIN) {
		s.err = s.m.withRoom(s.fork, s.err)
	}
}

// urgent is how many hierarchies, counted from the last joined, are to be left before Spawn returns: those that the order of
// folders puts last.
func (s *spawning) urgent() int {
	for i, f := range s.joined {
		if f.has("memory") || f.has("pids") || f.has("freezer") {
			return len(s.joined) - i
		}
	}
	return 0
}

// leave moves the thread back out of the n hierarchies that it joined last. False: it could not.
func (s *spawning) leave(n int) bool {
	home := true
	for ; n > 0; n-- {
		last := len(s.joined) - 1
		f := s.joined[last]
		s.joined = s.joined[:last]
		if f.own == "" || writeFile(f.own+"/tasks", "0") != nil {
			home = false
		}
	}
	return home
}
