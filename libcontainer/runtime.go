// Package libcontainer creates, starts, enters, signals and deletes containers as the OCI runtime
// specification describes them. The orlop command is built on it, and other programs can import it.
// It needs no init hook and never executes the importing program again. With a bundle in dir and
// the state directory root, such as /run/orlop:
//
//	bundle, err := specconv.Load(dir)
//	rt := &libcontainer.Runtime{Root: root}
//	c, err := rt.Create("web", bundle, libcontainer.CreateOptions{
//		Streams: libcontainer.Streams{Stdout: os.Stdout, Stderr: os.Stderr},
//	})
//	err = c.Start()
//	code, err := c.Process().Wait()
//	err = c.Delete()
//
// The example of [Runtime.Create] is this program in full. A container outlives the program that
// created it: the runtime keeps its record in the state directory.
//
// The package needs no cgo but for seccomp profiles. Built without the tag seccomp, it refuses a
// configuration with a profile. An importing program that runs such configurations is built with
// the tag seccomp, with cgo, and with libseccomp and its headers installed.
package libcontainer

import (
	"errors"
	"os"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/cgroups"
	"github.com/orlop/orlop/libcontainer/internal/hooks"
	"github.com/orlop/orlop/libcontainer/internal/host"
	"github.com/orlop/orlop/libcontainer/internal/intelrdt"
	"github.com/orlop/orlop/libcontainer/internal/launch"
	"github.com/orlop/orlop/libcontainer/internal/placement"
	"github.com/orlop/orlop/libcontainer/internal/state"
	"github.com/orlop/orlop/libcontainer/internal/systemd"
)

// A Runtime is a state directory and the settings for its containers. Several goroutines, and
// several programs, may call its methods at the same time.
type Runtime struct {
	// Root is the state directory, for instance /run/orlop. The first Create makes it, with mode
	// 0700.
	Root string
	// Warn gets warnings, one line each: a limit or a label that is not applied, other processes in
	// the container's cgroup, a poststop hook that failed. nil drops them.
	Warn func(message string)
	// Note gets messages for a log, one line each: a capability that cannot be granted, device
	// rules that need the host's root, a field that no kernel uses any more. The container never
	// has more rights than configured. nil drops them.
	Note func(message string)
	// CgroupManager makes the cgroups of new containers.
	CgroupManager CgroupManager
	// SeccompCache is the directory of compiled seccomp profiles; "" is none. It is used only if
	// nobody but the caller can write to it.
	SeccompCache string
	// Interrupt, if it is not nil, is an eventfd(2). Each write to it ends one wait of a method:
	// for a hook, which is killed with its process group, or for a process that sets itself up. The
	// operation is undone, and its error is ErrInterrupted.
	Interrupt *os.File
	// TimerSlack is the timer slack of each process that is started, of containers and hooks, in
	// nanoseconds (PR_SET_TIMERSLACK of prctl(2)). With 0 it is that of the starting thread.
	TimerSlack int
	// Rootless says whether new containers may do without what the caller has no right to: a
	// cgroup, and device rules.
	Rootless Rootless
}

// A CgroupManager makes the cgroups of new containers. A container keeps the one that it was
// created with.
type CgroupManager string

const (
	// CgroupfsManager: the runtime makes the cgroup at linux.cgroupsPath. The empty CgroupManager
	// means the same.
	CgroupfsManager CgroupManager = "cgroupfs"
	// SystemdManager: the cgroup is a unit of systemd, the scope that linux.cgroupsPath names by
	// "SLICE:PREFIX:NAME". Annotations "org.systemd.property.NAME" set properties of it.
	SystemdManager CgroupManager = "systemd"
	// DisabledManager: there is no cgroup. The container stays in the caller's, and nothing of
	// linux.resources is applied.
	DisabledManager CgroupManager = "disabled"
)

// Rootless says whether the caller lacks root's rights.
type Rootless int

const (
	// RootlessAuto: it does if it is another user, or in a user namespace.
	RootlessAuto Rootless = iota
	RootlessYes
	RootlessNo
)

// rootless works out what RootlessAuto stands for.
func (r *Runtime) rootless(rights host.Rights) bool {
	if r.Rootless != RootlessAuto {
		return r.Rootless == RootlessYes
	}
	return os.Geteuid() != 0 || rights.Nested
}

func (r *Runtime) note(message string) {
	if r.Note != nil {
		r.Note(message)
	}
}

func (r *Runtime) warn(message string) {
	if r.Warn != nil {
		r.Warn(message)
	}
}

// HookError is the failure of a hook, LockError that of a wait for another call on the same
// container, SystemdError what systemd answers when it does not do something, and SetupError the
// end of a process that was set up and has not said why.
type (
	SetupError   = launch.SetupError
	HookError    = hooks.Error
	LockError    = state.LockError
	SystemdError = systemd.Error
)

// Errors that callers ask for with errors.Is. Engines match on their texts.
var (
	ErrExist      = state.ErrExist                            // "container with given ID already exists"
	ErrNotExist   = state.ErrNotExist                         // "container does not exist"
	ErrInvalidID  = state.ErrInvalidID                        // "invalid container ID format"
	ErrNotRunning = errors.New("container not running")       // containerd: the process is gone
	ErrPaused     = cgroups.ErrFrozen                         // "container paused"
	ErrRunning    = errors.New("container still running")     // containerd
	ErrStarted    = errors.New("container already started")   // start of a running container
	ErrStopped    = errors.New("container has stopped")       // start of a stopped container
	ErrNotPaused  = errors.New("container not paused")        // containerd
	ErrNoResctrl  = intelrdt.ErrNoResctrl                     // linux.intelRdt on a host that cannot do it
	ErrForeign    = state.ErrForeign                          // of another runtime, with the same root
	ErrIncomplete = errors.New("container was never created") // what a create left that was killed
	ErrDeleted    = errors.New("container was deleted meanwhile")
	ErrDamaged    = state.ErrDamaged       // a record that cannot be read
	ErrNewer      = state.ErrVersion       // a record of a newer version
	ErrNoSystemd  = systemd.ErrUnavailable // which the cgroup manager needs
	ErrUnitExist  = systemd.ErrExist       // of a unit, with processes
	// ErrInterrupted says that Runtime.Interrupt ended an operation.
	ErrInterrupted = errors.New("interrupted")
)

// ErrNoCgroup says that a container has no cgroup, which is needed: it was created by
// DisabledManager.
var ErrNoCgroup = placement.ErrNoCgroup

// ErrCgroupInUse says that the cgroup of a new container has processes, or belongs to another
// container.
var ErrCgroupInUse = cgroups.ErrOccupied

// Streams are a process's file descriptors.
type Streams struct {
	// Stdin, Stdout and Stderr are its standard streams; nil is /dev/null. A process with a
	// terminal has that instead.
	Stdin, Stdout, Stderr *os.File
	// Shared is set when the caller keeps using the files, for instance while it waits for the
	// process. Regular files and terminals then keep their owner. If the process's user could not
	// open such a file again as /dev/stdout, output to it is copied from a pipe until Process.Wait
	// returns. Pipes and sockets get that user as owner in any case.
	Shared bool
	// keepOwner keeps the owner of regular files: hooks write to files of the host.
	keepOwner bool
	// Files become its descriptors 3, 4, ...; a nil one stays closed.
	Files []*os.File
	// ConsoleSocket is the path of a unix socket that gets the master of the process's terminal,
	// with its name as the data. If it is empty, the master is Process.Console.
	ConsoleSocket string
	// PlainLines keeps the process's terminal from writing a carriage return before each newline.
	// It is for output that goes to no terminal.
	PlainLines bool
	// PidfdSocket is the path of a unix socket that gets a pidfd of the process.
	PidfdSocket string
	// pidfdReceiver is the same by the configuration's annotation.
	pidfdReceiver string
	// PidFile is the path of a file that gets the process's PID: digits without a newline. It is
	// renamed into place when the process exists.
	PidFile string
	// BeforeStart, if it is not nil, is called before the process executes its program; an error
	// prevents that. A caller sets up there what must not be set up earlier, such as signal
	// handlers.
	BeforeStart func() error
}

// standard returns the standard streams and who keeps using them.
func (s *Streams) standard() host.Streams {
	return host.Streams{Files: [3]*os.File{s.Stdin, s.Stdout, s.Stderr}, Shared: s.Shared, KeepOwner: s.keepOwner}
}

// launch returns the streams for a process whose outputs are relayed.
func (s *Streams) launch(relayed [3]bool) launch.Streams {
	return launch.Streams{Stdin: s.Stdin, Stdout: s.Stdout, Stderr: s.Stderr, Relayed: relayed, Inherited: s.Files, ConsoleSocket: s.ConsoleSocket}
}

// handsOver reports whether handOver has something to do.
func (s *Streams) handsOver() bool {
	return s.PidfdSocket != "" || s.pidfdReceiver != "" || s.PidFile != ""
}

// handOver sends the pidfd, with a name, and writes the PID for the engine that waits for them.
func (s *Streams) handOver(p *launch.Process, name string) error {
	for _, socket := range [...]string{s.PidfdSocket, s.pidfdReceiver} {
		if socket == "" {
			continue
		}
		if err := p.SendPidfd(socket, name); err != nil {
			return err
		}
	}
	if s.PidFile == "" {
		return nil
	}
	return p.WritePidFile(s.PidFile)
}

func (s *Streams) beforeStart() error {
	if s.BeforeStart == nil {
		return nil
	}
	return s.BeforeStart()
}

// CreateOptions are settings of a new container that its configuration does not have.
type CreateOptions struct {
	Streams
	// NoPivot moves the root mount and changes the root with chroot(2) in place of pivot_root(2),
	// for hosts whose root is a ramfs. It is less safe.
	NoPivot bool
	// NoNewKeyring leaves the process in the caller's session keyring.
	NoNewKeyring bool
	// PidVariable is the name of an environment variable that gets the process's PID in its PID
	// namespace, such as LISTEN_PID of sd_listen_fds(3); "" for none.
	PidVariable string
	// NotifySocket is the address of a service manager's socket ($NOTIFY_SOCKET of sd_notify(3)),
	// "" for none. The container gets a socket of its own to say that it is ready, and
	// Container.AwaitReady waits for that. After Create, StartNotify must be called first.
	NotifySocket string
}

// ExecOptions say how a process is started in a container.
type ExecOptions struct {
	Streams
	// IgnorePaused lets a process join a paused container. It runs when the container is resumed.
	IgnorePaused bool
	// Cgroups are the cgroups below the container's that the process starts in: see
	// cgroups.Manager.Sub. Without any it starts in the container's own.
	Cgroups []string

	hook *specs.Hook // that is executed in place of the program
}

// Limits of waits. docs/waits.md has all waits of all commands.
const (
	lockLimit    = 10 * time.Second // another call that holds the lock
	creatorLimit = 10 * time.Second // a creator whose container is to be deleted
)

// stops returns what stops hooks and conversations: the caller's interrupt.
func (r *Runtime) stops() []hooks.Stop {
	if r.Interrupt == nil {
		return nil
	}
	return []hooks.Stop{{File: r.Interrupt, Err: ErrInterrupted}}
}

// stopsAtEnd returns stops, and the end of the container's first process.
func (r *Runtime) stopsAtEnd(container *os.File) []hooks.Stop {
	return append(r.stops(), hooks.Stop{File: container, Err: launch.ErrEnded})
}

// takeInterrupt consumes the interrupt that err reports. What follows can be interrupted again.
func (r *Runtime) takeInterrupt(err error) {
	if errors.Is(err, ErrInterrupted) {
		var count [8]byte
		_, _ = unix.Read(int(r.Interrupt.Fd()), count[:])
	}
}
