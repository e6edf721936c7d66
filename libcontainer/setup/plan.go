// Package setup plans what a container's process does between its clone and the exec of its
// program. It is pure: everything that it must know about the host comes as [Facts], and the result
// is a [Plan] that can be printed, verified, and lowered to a program of package nsenter.
package setup

import (
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/nsenter"
)

// A Plan is what a process does, step by step, from its clone to its last exec.
type Plan struct {
	// Cloneflags are the namespaces (CLONE_NEW*) that the process starts in. Steps make those that
	// clone cannot make: cgroup and time namespaces, and all that belong to a user namespace of the
	// container.
	Cloneflags uintptr
	Steps      []Step
	// Warnings are parts of the configuration that are not supported here and are left out.
	Warnings []string
	// Notes describe privileges that are left out; see specconv.Bundle.
	Notes []string
	// Inherit is the number of descriptors from 3 on that the program inherits.
	Inherit int

	verified  *lowering // kept by Verify for Lower
	options   []fsOption
	wanted    []wantedPath
	rehearsal bool // see Rehearsal
}

// A Step is one entry of a plan.
type Step struct {
	// Field is the step's JSON path in config.json, "" for a step of the runtime itself.
	Field string
	Action
}

// An Action is what a step does. One whose title depends on it is a [fmt.Stringer], and one that
// refers to descriptors of the runtime has a method Needs.
type Action interface {
	kind() kind
	lower(*lowering)
}

// A kind describes an action.
type kind struct {
	phase phase
	verb  string // "mount", "pivot root"
	title string // for messages; "" for a fmt.Stringer: "mount tmpfs on /dev, nosuid,mode=755"
}

func (s Step) phase() phase { return s.kind().phase }

// Verb is the kind of the action in a word or two: "mount", "pivot root".
func (s Step) Verb() string { return s.kind().verb }

// String is the whole action for messages: "mount tmpfs on /dev, nosuid,mode=755".
func (s Step) String() string {
	if a, ok := s.Action.(fmt.Stringer); ok {
		return a.String()
	}
	return s.kind().title
}

// Needs names the descriptors that the action refers to, and that the runtime must pass.
func (s Step) Needs() []Descriptor {
	if a, ok := s.Action.(interface{ Needs() []Descriptor }); ok {
		return a.Needs()
	}
	return nil
}

// A phase is a section of a plan. The phases of a plan never go backwards. Each says why it comes
// where it does.
type phase uint8

const (
	phaseIsolate      phase = iota // before anything can inspect the process
	phaseJoin                      // namespaces; the process may be replaced by another one here
	phaseIdentity                  // hostname, interfaces, session: no files
	phaseRoot                      // the root filesystem's descriptor: all paths start from it
	phaseMounts                    // mounts, while the host is reachable
	phaseDevices                   // nodes and links in /dev, which may be one of the mounts
	phaseConsole                   // a terminal from the container's devpts
	phaseHooks                     // hooks see all mounts, and the host
	phaseHide                      // sysctls, then masks that hide them; the hooks may need them
	phasePivot                     // from here on there is no host
	phaseInside                    // properties of root and process that impede the steps before
	phaseLimits                    // limits, priorities: need a privilege, and would affect setup
	phaseBounding                  // dropping privileges: see credentials.go
	phaseUser                      //
	phaseCapabilities              //
	phaseAmbient                   //
	phaseNoNewPrivs                //
	phaseFind                      // the program, as the user who executes it
	phaseCharge                    // cgroups and limits that would have applied to the setup, too
	phaseClose                     // others may trace what joins a PID namespace: see enter.go
	phaseFilter                    // from here on, calls that it no longer needs may be forbidden
	phaseEnter                     // the process is replaced by another one, in the PID namespace
	phaseOwn                       // what no other process can do for it
	phaseReady                     // everything that can fail early has succeeded
	phaseStart                     // what would impede the wait itself
	phaseSeccomp                   // from here on, calls may be forbidden
	phaseExec
)

// phaseIf returns yes if the condition holds, and no otherwise.
func phaseIf(condition bool, yes, no phase) phase {
	if condition {
		return yes
	}
	return no
}

func (p phase) String() string {
	return [...]string{"isolate", "join", "identity", "root", "mounts", "devices", "console", "hooks", "hide", "pivot", "inside", "limits",
		"credentials", "credentials", "credentials", "credentials", "credentials", "find", "charge", "close", "seccomp", "enter", "own", "ready", "start", "seccomp", "exec"}[p]
}

// A Descriptor is a descriptor that the runtime opens and passes to the process by name.
type Descriptor struct {
	Name nsenter.FD
	// Path is opened O_RDONLY (or O_PATH when OPath is set). It is "" for descriptors without a
	// path: [PidfdOfContainer], [StartSocket], [ReleasePipe].
	Path  string
	OPath bool
	// Tree asks for a detached copy of the mount at Path instead (open_tree(2), OPEN_TREE_CLONE),
	// with its submounts if Recursive is set.
	Tree, Recursive bool
	// NoFollow asks with Tree for a symbolic link itself, if the path leads to one.
	NoFollow bool
	// Users asks for a new user namespace with this map, or with Tree for one that the mounts are
	// mapped by.
	Users *IDMap
	// Nodes asks for a detached mount of a filesystem with these nodes. Nodes that the runtime may
	// not make are left out.
	Nodes *DeviceNodes
	// Part is the member of the step's field that all this comes from: "path", "source".
	Part string
}

// Descriptors without a path.
const (
	// of the process whose namespaces are joined
	PidfdOfContainer nsenter.FD = "pidfd of the container"
	// the listening socket that `start` connects to
	StartSocket nsenter.FD = "start socket"
	// ReleasePipe is the reading end of a pipe. The process reads a byte from it for each event
	// that it waits for there: the creation of the DeferredCgroups, and without StartSocket the
	// answer to MessageReady. A byte may arrive before the process waits, since nothing else reads
	// from the pipe. End of file ends the process.
	ReleasePipe nsenter.FD = "release pipe"
)

// The messages of a process to the runtime. Their numbers stay the same in later versions, because
// one version may create a container and another one start it. The number implies the direction,
// and whether the process waits for an answer.
const (
	// MessageChild carries the PID of the process that replaces the sender in a PID or time
	// namespace. It is a child of the runtime, too, and does not wait. The first process exits with
	// status 0. See Plan.ClonesLast for when it comes.
	MessageChild = iota + 1
	// MessageHooks is a rendezvous: all mounts are made and the root is not changed yet. The
	// runtime runs the prestart, createRuntime and createContainer hooks.
	MessageHooks
	// MessageCopyFrom comes with a directory of the image. MessageCopyTo follows, with the new
	// tmpfs that will be mounted over that directory and the step's number as its value, and is a
	// rendezvous: the runtime copies the content of one into the other (tmpcopyup). See CopiedUp.
	MessageCopyFrom
	MessageCopyTo
	// MessageConsole comes with the master side of the terminal; the process does not wait.
	MessageConsole
	// MessageReady is a rendezvous: everything but the last exec is set up. With
	// Options.StartSocket the process then waits for a connection on it; without, the answer comes
	// by the ReleasePipe. A process that joins a container does not send this and does not wait.
	MessageReady
	// MessageStart is a rendezvous on the connection of `start`: the runtime runs the
	// startContainer hooks. From the connection on, that is the channel. It is always sent, even
	// without such hooks. When the connection ends unanswered, the process waits for another one.
	MessageStart
	// MessageDestination comes with the mount point to which links of the image have led, and the
	// step's number as its value, and is a rendezvous: the process may only continue if the mount
	// point is not in a procfs. See DestinationError.
	MessageDestination
	// MessageIDMap comes with a detached mount, and the step's number as its value, and is a
	// rendezvous: the runtime maps its IDs. See MountIDMap.
	MessageIDMap
	// MessageScheduler is a rendezvous: the runtime sets what [Plan.Scheduler] returns, which needs
	// a privilege on the host.
	MessageScheduler
	// MessageNetDevices is a rendezvous: the process is in its network namespace, and the runtime
	// moves linux.netDevices there.
	MessageNetDevices
	// MessageSeccomp comes with the listener of the filter that the process has just loaded, and is
	// a rendezvous: the runtime passes it to the seccomp agent. A created process sends it to
	// `start`.
	MessageSeccomp
	// MessagePid is a rendezvous whose answer is the process's PID in its PID namespace, as text.
	MessagePid
	// MessageCgroup is a rendezvous: the process has only isolated itself, and must now be put into
	// its cgroup.
	MessageCgroup
	// MessageHome comes with the process's root directory, and the UID of its user as the value,
	// and is a rendezvous whose answer is the home directory of that user, 1 to MaxHome bytes.
	MessageHome
	// MessageMissing comes with the container's root, and the number of a path as its value, and is
	// a rendezvous whose answer is a Missing. See Plan.WantedPath.
	MessageMissing
)

// Options are the caller's choices that are not in config.json.
type Options struct {
	// StartSocket is set to wait for a connection on the start socket (create) instead of at a
	// rendezvous (run).
	StartSocket  bool
	NoPivot      bool // MS_MOVE and chroot in place of pivot_root
	NoNewKeyring bool
	// JoinCgroups are the files by which the process joins its v1 cgroups, before all else: see
	// TasksOf.
	JoinCgroups []nsenter.FD
	// DeferredCgroups are joined by their paths once they exist. The process waits for that at the
	// ReleasePipe before its first mount that depends on them. Then there are no JoinCgroups, and
	// MemoryPath is what JoinMemory joins by. It needs a mount namespace that begins as a copy of
	// the runtime's, and no new user or cgroup namespace.
	DeferredCgroups []DeferredCgroup
	MemoryPath      string
	JoinMemory      bool // join the v1 memory cgroup by MemoryTasks, after the setup
	// JoinLast are the files by which a process that joins a container joins cgroups after
	// everything else: see TasksOf. JoinInside are those by which it does so after it has entered
	// the PID namespace; they are passed before all others.
	JoinLast, JoinInside []nsenter.FD
	// AwaitCgroup is set to wait to be put into the cgroup; otherwise the process starts in that
	// of cgroup2.
	AwaitCgroup bool
	// JoinRDT are the files by which a process that joins a container joins its groups in the
	// resctrl filesystem: RDTTasks and RDTMonitorTasks, in this order, or fewer.
	JoinRDT []nsenter.FD
	// PlainLines keeps the terminal from writing a carriage return before each newline, for output
	// to a file or a pipe.
	PlainLines bool
	Inherit    int    // descriptors from 3 on that the program inherits
	Keyring    string // name of the session keyring; "" leaves it nameless
	Share      *Share // Container: nil for none
	// Container: environment variable of the program that gets its PID, "" for none
	PidVariable string
	// Hook is executed by path, in place of a program, by a process that joins a container: see
	// HookProcess.
	Hook *specs.Hook
}

// A Share is a directory of the runtime that the container sees, read-only.
type Share struct {
	Source, Destination string
	Variable            string // of the program's environment: "NAME=value"
}

// Join describes how a process joins a container.
type Join struct {
	// Namespaces are the CLONE_NEW* flags of the container's own namespaces, to be joined through
	// PidfdOfContainer.
	Namespaces uintptr
	// PIDNamespace is the file of a PID namespace that is joined in addition, because the
	// container's process has not entered it yet.
	PIDNamespace string
	// Chroot is set for a container without a mount namespace: the process changes its root to the
	// directory that is passed as RootOfContainer.
	Chroot bool
	// Personality and MemoryPolicy are those of all processes of the container; nil if not
	// configured.
	Personality  *specs.LinuxPersonality
	MemoryPolicy *specs.LinuxMemoryPolicy
}

// RootOfContainer is the root directory of a container without a mount namespace.
const RootOfContainer nsenter.FD = "root of the container"
