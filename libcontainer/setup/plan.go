// Package setup plans what a process does between its birth and the exec of the program that config.json names.
// It is pure: everything that it must know of the host comes as [Facts], and what comes out is data: a [Plan]
// that can be printed, verified, and lowered to a program of package nsenter.
package setup

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/nsenter"
)

// A Plan is what a process does, step by step, from its birth to its last exec.
type Plan struct {
	// Cloneflags are the namespaces (CLONE_NEW*) that the process is born in. Steps make those that clone cannot make: cgroup and time
	// namespaces, and all that belong to a user namespace of the container's.
	Cloneflags uintptr
	Steps      []Step
	// Warnings are parts of the configuration that cannot be had and are left out.
	Warnings []string
	// Notes tell of fewer rights than asked for; see specconv.Bundle.
	Notes []string
	// Inherit is the number of descriptors from 3 on that the program is to have.
	Inherit int

	verified  *lowering // left by Verify for Lower
	options   []fsOption
	wanted    []wantedPath
	rehearsal bool // see Rehearsal
}

// A Step is one entry of a plan.
type Step struct {
	// Field is the JSON path in config.json that the step comes from, "" when it is the runtime's own.
	Field string
	Action
}

// An Action is what a step does.
type Action interface {
	// Verb is the kind of the action in a word or two: "mount", "pivot root".
	Verb() string
	// String is the whole action for people: "mount tmpfs on /dev, nosuid,mode=755".
	String() string
	// Needs names the descriptors that the action refers to and that whoever runs the plan has to pass.
	Needs() []Descriptor
	phase() phase
	lower(*lowering)
}

// A phase is a stretch of a plan. The phases of a plan never go backwards; why each comes where it does:
type phase uint8

const (
	phaseIsolate      phase = iota // before anything can look into the process
	phaseJoin                      // namespaces; the process may give way to another one here
	phaseIdentity                  // hostname, interfaces, session: no files
	phaseRoot                      // the root file system's descriptor, from which all paths are looked up
	phaseMounts                    // what is mounted, while the host is in reach
	phaseDevices                   // nodes and links in /dev, which may be one of the mounts
	phaseConsole                   // a terminal from the container's devpts
	phaseHooks                     // hooks see all mounts, and the host
	phaseHide                      // kernel parameters, and then what hides them; after the hooks, which may need them
	phasePivot                     // from here on there is no host
	phaseInside                    // what the root and the process are to be, and would have been in the way before
	phaseLimits                    // limits and priorities would have held for the set-up, too, and take a privilege
	phaseBounding                  // the drop of privileges: see credentials.go
	phaseUser                      //
	phaseCapabilities              //
	phaseAmbient                   //
	phaseNoNewPrivs                //
	phaseFind                      // the program, as the user who executes it
	phaseCharge                    // cgroups and limits that would have held for the set-up, too
	phaseClose                     // from here on others may trace the process that joins a PID namespace: see enter.go
	phaseFilter                    // from here on, calls may be forbidden that it does not need any more
	phaseEnter                     // the process gives way to another one, in the PID namespace
	phaseOwn                       // what no other process can do for it
	phaseReady                     // all that can fail early has not
	phaseStart                     // what the wait itself must not suffer from
	phaseSeccomp                   // from here on, calls may be forbidden
	phaseExec
)

func (p phase) String() string {
	return [...]string{"isolate", "join", "identity", "root", "mounts", "devices", "console", "hooks", "hide", "pivot", "inside", "limits",
		"credentials", "credentials", "credentials", "credentials", "credentials", "find", "charge", "close", "seccomp", "enter", "own", "ready", "start", "seccomp", "exec"}[p]
}

// A Descriptor is a descriptor that the runtime opens and passes to the process by name.
type Descriptor struct {
	Name nsenter.FD
	// Path is what is to be opened, O_RDONLY (or O_PATH when OPath is set); "" for those that have no path:
	// [PidfdOfContainer], [StartSocket], [Gate].
	Path  string
	OPath bool
	// Tree asks for a detached copy of the mount at Path instead (open_tree(2), OPEN_TREE_CLONE), with those below it if Recursive is set.
	Tree, Recursive bool
	// NoFollow asks with Tree for a symbolic link itself, if the path leads to one.
	NoFollow bool
	// Users asks for a new user namespace with this map, or with Tree for one that the mounts are mapped by.
	Users *IDMap
	// Nodes asks for a detached mount of a file system with these nodes. One that the runtime may not make is left out.
	Nodes *DeviceNodes
	// Part is the member of the step's field that says all this: "path", "source".
	Part string
}

// Descriptors without a path.
const (
	PidfdOfContainer nsenter.FD = "pidfd of the container" // of the process whose namespaces are joined
	StartSocket      nsenter.FD = "start socket"           // the listening socket that `start` connects to
	// Gate is the reading end of a pipe. The process takes a byte from it for each thing that it waits for there: that the LateCgroups are made, and
	// without StartSocket the answer to MessageReady. It may be there before the process is, as no other wait could take it for its
	// own. The end of file ends the process.
	Gate nsenter.FD = "gate"
)

// What a process says to the runtime, by the number of the message, which stays the same in later versions: a container may be created by
// one and started by another. The direction, and whether the process waits
// for an answer, is part of the number's meaning.
const (
	// MessageChild carries the process id of the process that goes on in the process's place in a PID or time namespace; it is a
	// child of the runtime, too, and goes on at once. The first process exits with status 0. See Plan.ClonesLast for when it comes.
	MessageChild = iota + 1
	// MessageHooks is a rendezvous: all is mounted, the root is not changed yet: prestart, createRuntime and
	// createContainer hooks are to be run.
	MessageHooks
	// MessageCopyFrom comes with a folder of the image, MessageCopyTo after it with the new tmpfs that is to be mounted over
	// that folder and the number of the step as its value, and is a rendezvous: the one's content is to be copied into the other
	// (tmpcopyup). See CopiedUp.
	MessageCopyFrom
	MessageCopyTo
	// MessageConsole comes with the master side of the terminal; the process goes on.
	MessageConsole
	// MessageReady is a rendezvous: all is set up but the last exec. With Options.StartSocket the process then waits for a
	// connection on it; without, the answer comes by the Gate. A process that joins a container does not say so: it goes on.
	MessageReady
	// MessageStart is a rendezvous on the connection of `start`: startContainer hooks are to be run. From the connection
	// on, that is the channel. It is always sent, also when there are no such hooks. When the connection ends unanswered, the
	// process waits for another one.
	MessageStart
	// MessageDestination comes with the mount point that links of the image have led to, and the number of the step as its value, and
	// is a rendezvous: the process may only go on if that is no part of a procfs. See DestinationError.
	MessageDestination
	// MessageIDMap comes with a detached mount, and the number of the step as its value, and is a rendezvous: the runtime is to map its
	// ids. See MountIDMap.
	MessageIDMap
	// MessageScheduler is a rendezvous: the runtime is to set what [Plan.Scheduler] returns, which takes a right on the host.
	MessageScheduler
	// MessageNetDevices is a rendezvous: the process is in its network namespace, into which linux.netDevices are to be moved.
	MessageNetDevices
	// MessageSeccomp comes with the listener of the filter that the process has just loaded, and is a rendezvous: the runtime is to hand it to the
	// agent. A created process says so to `start`.
	MessageSeccomp
	// MessagePid is a rendezvous whose answer is the process's number in its PID namespace, as text.
	MessagePid
	// MessageCgroup is a rendezvous: the process has done nothing yet but to isolate itself, and is to be put into its cgroup.
	MessageCgroup
	// MessageHome comes with the process's root directory, and the uid of its user as the value, and is a rendezvous whose answer is the
	// home of that user, 1 to MaxHome bytes.
	MessageHome
	// MessageMissing comes with the container's root, and the number of a path as its value, and is a rendezvous whose answer is a
	// Missing. See Plan.WantedPath.
	MessageMissing
)

// Options are the caller's wishes that do not stand in config.json.
type Options struct {
	StartSocket  bool // wait for a connection on the start socket (create) instead of at a rendezvous (run)
	NoPivot      bool // MS_MOVE and chroot in place of pivot_root
	NoNewKeyring bool
	// JoinCgroups are the files by which the process joins its v1 cgroups, before all else: see TasksOf.
	JoinCgroups []nsenter.FD
	// LateCgroups are joined by their paths when they are there, for which the process waits at the Gate before it mounts anything of them. Then
	// there are no JoinCgroups, and MemoryPath is what JoinMemory joins by. It takes a mount namespace that begins as a copy of the
	// runtime's, and no new user or cgroup namespace.
	LateCgroups []LateCgroup
	MemoryPath  string
	JoinMemory  bool // join the v1 memory cgroup by MemoryTasks, after all that it would be charged for
	// JoinLast are the files by which a process that joins a container joins cgroups when all else is done: see TasksOf. JoinInside
	// are those by which it does so after it has entered the PID namespace; they are passed before all others.
	JoinLast, JoinInside []nsenter.FD
	AwaitCgroup          bool // wait to be put into the cgroup; otherwise the process is born in that of cgroup2
	// JoinRDT are the files by which a process that joins a container joins its groups in the resctrl file system: RDTTasks and
	// RDTMonitorTasks, in this order, or fewer.
	JoinRDT []nsenter.FD
	// PlainLines is set when the terminal is not to write a carriage return before each newline:
	// its output goes to a file or a pipe.
	PlainLines  bool
	Inherit     int    // descriptors from 3 on that the program is to have
	Keyring     string // name of the session keyring; "" leaves it nameless
	Share       *Share // Container: nil for none
	PidVariable string // Container: name of a variable of the program's environment that gets its number, "" for none
	// Hook is executed by a process that joins a container in place of a program, by its path: see HookProcess.
	Hook *specs.Hook
}

// A Share is a folder of the runtime's that the container gets to see, read-only.
type Share struct {
	Source, Destination string
	Variable            string // of the program's environment: "NAME=value"
}

// Join is a request for the plan of a process that joins a container.
type Join struct {
	// Namespaces are the CLONE_NEW* flags of the container's own namespaces, to be joined through PidfdOfContainer.
	Namespaces uintptr
	// PIDNamespace is the file of one that is joined beside them: the container's process is about to enter it.
	PIDNamespace string
	// Chroot is set for a container without a mount namespace: the process changes its root to the folder
	// that is passed as RootOfContainer.
	Chroot bool
	// Personality and MemoryPolicy are what all processes of the container have; nil when the configuration does not say.
	Personality  *specs.LinuxPersonality
	MemoryPolicy *specs.LinuxMemoryPolicy
}

// RootOfContainer is the root folder of a container without a mount namespace.
const RootOfContainer nsenter.FD = "root of the container"
