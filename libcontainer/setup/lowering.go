package setup

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
)

// A lowering turns the steps of one plan into operations, one after the other. All system calls go
// through its methods, one for each way in which a call handles paths, and leave a record for
// Verify:
//
//	call     has no path
//	openat2  walks a path below a descriptor, confined by RESOLVE_IN_ROOT or RESOLVE_BENEATH
//	at       has one name, or none, in the directory of a descriptor: nothing is walked
//	host     walks a path of the host, which is only allowed before the root is changed
//	own      walks a path as the container's own process would, which is only allowed after the
//	         root is changed
type lowering struct {
	prog  *nsenter.Program
	step  int
	calls []callRecord

	root    nsenter.Reg // the root filesystem's directory, opened with O_PATH
	hasRoot bool
	mounted []mounted   // in the order in which they were made
	null    nsenter.Reg // a character device 1:3 that the plan made, on a mount of the container
	hasNull bool
	// procfs is one of the container's PID namespace, with no mounts on top as the runtime sees it.
	procfs  nsenter.Reg
	hasProc bool
	devpts  nsenter.Reg
	hasPts  bool
	nodes   nsenter.Reg // the filesystem of the nodes that the runtime has made
	// pidns is the PID namespace whose procfs is mounted while the process is not in it yet; "" for
	// none.
	pidns   nsenter.FD
	memory  nsenter.Reg // the tasks file of the memory cgroup, opened by joinDeferred
	empty   nsenter.Reg // the tmpfs of masked directories
	first   nsenter.Reg // the same once it is attached; before that no descriptor
	hasMask bool
	cwd     nsenter.Reg // the working directory once it was entered; before that no descriptor
	early   []earlyMount
	closed  bool         // descriptors are already marked close-on-exec
	pid     nsenter.Addr // of the variable with the process's PID
	home    nsenter.Addr // of the variable HOME, where the process learns it
	clocks  nsenter.Reg  // the file with a time namespace's offsets
	found   nsenter.Reg  // the address of the path of the program to be executed
	answer  nsenter.Addr // of a Missing, once there is room for one
	wanted  []wantedPath

	// pool has the registers of descriptors that are closed at the end of a step, nil if all stay
	// open until the exec.
	pool []nsenter.Reg
	used int

	options []fsOption // in the order of their operations

	hows  []knownHow
	attrs []knownAttr
}

// A mounted is a mount that the plan made.
type mounted struct {
	destination string
	fd          nsenter.Reg
	kept        bool // fd is reserved for the mount for the rest of the plan
	// fresh is true for a directory that only this plan has written to, so names can be created in
	// it without checking for existing files. Then fd is kept.
	fresh bool
}

// lastMounted returns the last mount whose destination the function accepts, nil if there is none.
func (l *lowering) lastMounted(accepts func(destination string) bool) *mounted {
	for i := len(l.mounted) - 1; i >= 0; i-- {
		if m := &l.mounted[i]; accepts(m.destination) {
			return m
		}
	}
	return nil
}

// An fsOption is the operation that sets a parameter of a filesystem.
type fsOption struct {
	op        int
	parameter string
}

// An earlyMount is a mount that was made before it is attached: see mountEarly.
type earlyMount struct {
	index int
	fd    nsenter.Reg
}

func (l *lowering) earlyMount(index int) (nsenter.Reg, bool) {
	for _, m := range l.early {
		if m.index == index {
			return m.fd, true
		}
	}
	return 0, false
}

// A callRecord describes a call for Verify.
type callRecord struct {
	step    int
	nr      uintptr
	way     way
	path    string
	resolve uint64
	source  bool // the walk leads to what is copied, not to a mount point
}

type way uint8

const (
	wayNone way = iota
	wayOpenat2
	wayAt
	wayHost
	wayOwn
	waySend // resolve is the message's number
	wayAwait
	wayRelease
)

type knownHow struct {
	how  unix.OpenHow
	addr nsenter.Addr
}

type knownAttr struct {
	attr unix.MountAttr
	addr nsenter.Addr
}

// noFD is the value of a register that holds no descriptor: no process has one with this number. It
// is not -1, because a program that puts an error number into a register has failed.
const noFD = nsenter.Int(1 << 30)

// inRoot are the flags for resolving a path of the container: the walk cannot leave its root, and
// does not follow magic links of procfs.
const inRoot = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS

// manyDescriptors is the number of descriptors above which each step closes its own. Below it, it
// is quicker to let the exec close them all. The limit of open files is 1024 nearly everywhere.
const manyDescriptors = 200

// descriptorsOf returns how many descriptors an action opens, if a plan can have many actions of
// its kind.
func descriptorsOf(a Action) int {
	switch a := a.(type) {
	case setSysctl:
		return 1
	case bindMount, remount, readOnlyPath:
		return 2
	case mountNew, makeDevice, maskPath:
		return 3
	case mountCgroups:
		return 3 + 3*len(a.Hierarchies)
	}
	return 0
}

func newLowering(p *Plan) *lowering {
	l := &lowering{prog: nsenter.NewProgram(), calls: make([]callRecord, 0, 400)}
	descriptors := 0
	for i := range p.Steps {
		descriptors += descriptorsOf(p.Steps[i].Action)
	}
	if descriptors > manyDescriptors {
		l.pool = make([]nsenter.Reg, 24)
	}
	return l
}

// begin starts a step.
func (l *lowering) begin(step int) {
	l.step = step
	l.prog.Step(step)
	l.used = 0
	if l.pool != nil && step == 1 {
		for i := range l.pool {
			l.pool[i] = l.prog.Keep()
			l.prog.Set(l.pool[i], noFD)
		}
	}
}

// end closes the step's descriptors if the plan would otherwise have too many open.
func (l *lowering) end() {
	if l.step == 0 {
		return // the pool is filled in the next step
	}
	for _, r := range l.pool[:min(l.used, len(l.pool))] {
		l.call(unix.SYS_CLOSE, r).Ignore(unix.EBADF)
		l.prog.Set(r, noFD)
	}
}

// fd returns a register for a descriptor that only this step needs.
func (l *lowering) fd() nsenter.Reg {
	if l.used < len(l.pool) && l.step > 0 {
		l.used++
		return l.pool[l.used-1]
	}
	return l.prog.Reg()
}

// keep returns a register that later steps use, too. A step must allocate these before any others.
func (l *lowering) keep() nsenter.Reg { return l.prog.Keep() }

// mountFD returns a register for the descriptor of a mount.
func (l *lowering) mountFD(keep bool) nsenter.Reg {
	if keep {
		return l.keep()
	}
	return l.fd()
}

func (l *lowering) str(s string) nsenter.Addr { return l.prog.String(s) }

func (l *lowering) record(nr uintptr, w way, path string, resolve uint64) {
	l.calls = append(l.calls, callRecord{step: l.step, nr: nr, way: w, path: path, resolve: resolve})
}

// call emits a call that has no path.
func (l *lowering) call(nr uintptr, args ...nsenter.Arg) *nsenter.Op {
	l.record(nr, wayNone, "", 0)
	return l.prog.Call(nr, args...)
}

// openat2 emits the walk of a path below dir. A path that begins with "/" begins at dir. The kernel
// may return EAGAIN when directories are moved while it resolves "..": use open unless the caller
// handles that.
func (l *lowering) openat2(dir nsenter.Arg, path string, flags, mode, resolve uint64) *nsenter.Op {
	l.record(unix.SYS_OPENAT2, wayOpenat2, path, resolve)
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Mode: mode, Resolve: resolve}
	return l.prog.Call(unix.SYS_OPENAT2, dir, l.str(path), l.how(how), nsenter.Int(unix.SizeofOpenHow))
}

// open emits openat2, repeated while it returns EAGAIN, and puts the descriptor into to.
func (l *lowering) open(to nsenter.Reg, dir nsenter.Arg, path string, flags, mode, resolve uint64) {
	again := l.prog.NewLabel()
	l.prog.Place(again)
	l.openat2(dir, path, flags, mode, resolve).Result(to).OnError(again, unix.EAGAIN)
}

// openSource emits open for a file that is only copied: with noFollow, a symbolic link itself.
func (l *lowering) openSource(to nsenter.Reg, path string, noFollow bool) {
	flags := uint64(unix.O_PATH)
	if noFollow {
		flags |= unix.O_NOFOLLOW
	}
	l.open(to, l.root, rel(path), flags, 0, inRoot)
	l.calls[len(l.calls)-1].source = true
}

// sent represents, in a record, a path or a name that the runtime sends while the process runs: see
// Missing.
const sent = "(sent by the runtime)"

// openSent emits the walk of a path that the runtime has sent, to a directory in the root.
func (l *lowering) openSent(to nsenter.Reg, path nsenter.Addr) {
	again := l.prog.NewLabel()
	l.prog.Place(again)
	l.record(unix.SYS_OPENAT2, wayOpenat2, sent, inRoot)
	how := l.how(unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: inRoot})
	l.prog.Call(unix.SYS_OPENAT2, l.root, path, how, nsenter.Int(unix.SizeofOpenHow)).Result(to).OnError(again, unix.EAGAIN)
}

// atSent emits at for a name that the runtime has sent.
func (l *lowering) atSent(nr uintptr, dir nsenter.Reg, name nsenter.Addr, after ...nsenter.Arg) *nsenter.Op {
	l.record(nr, wayAt, sent, 0)
	return l.prog.Call(nr, append([]nsenter.Arg{dir, name}, after...)...)
}

// at emits a call with the given arguments before and after a name. dir, in which the name is
// looked up, is the last of before. symlinkat has another string in front of it.
func (l *lowering) at(nr uintptr, before []nsenter.Arg, name string, after ...nsenter.Arg) *nsenter.Op {
	l.record(nr, wayAt, name, 0)
	args := make([]nsenter.Arg, 0, 6)
	args = append(append(append(args, before...), l.str(name)), after...)
	return l.prog.Call(nr, args...)
}

// in is the before argument of at for a call that begins with dir.
func in(dir nsenter.Arg) []nsenter.Arg { return []nsenter.Arg{dir} }

// host emits a call that walks a path of the host. args contains the path in the call's own
// position; path repeats it for the record.
func (l *lowering) host(nr uintptr, path string, args ...nsenter.Arg) *nsenter.Op {
	l.record(nr, wayHost, path, 0)
	return l.prog.Call(nr, args...)
}

// own emits a call that walks a path as the container's own process would.
func (l *lowering) own(nr uintptr, path string, args ...nsenter.Arg) *nsenter.Op {
	l.record(nr, wayOwn, path, 0)
	return l.prog.Call(nr, args...)
}

// openDir are the flags of an open that is only used to refer to a directory.
const openDir = unix.O_PATH | unix.O_DIRECTORY

// hostOpen emits the opening of a path of the host.
func (l *lowering) hostOpen(path string, flags int) *nsenter.Op {
	return l.openat(wayHost, path, flags)
}

// ownOpen emits the opening of a path as the container's own process would.
func (l *lowering) ownOpen(path string, flags int) *nsenter.Op { return l.openat(wayOwn, path, flags) }

func (l *lowering) openat(w way, path string, flags int) *nsenter.Op {
	l.record(unix.SYS_OPENAT, w, path, 0)
	return l.prog.Call(unix.SYS_OPENAT, nsenter.Int(unix.AT_FDCWD), l.str(path), nsenter.Int(flags|unix.O_CLOEXEC), nsenter.Int(0))
}

// hostTree emits the copying of a mount of the host to a detached mount.
func (l *lowering) hostTree(path string, flags int) *nsenter.Op {
	return l.host(unix.SYS_OPEN_TREE, path, nsenter.Int(unix.AT_FDCWD), l.str(path), nsenter.Int(openTree|flags))
}

// hostPropagation emits the setting of the propagation of a mount of the host.
func (l *lowering) hostPropagation(path string, propagation uint64, flags int) *nsenter.Op {
	return l.host(unix.SYS_MOUNT_SETATTR, path, nsenter.Int(unix.AT_FDCWD), l.str(path), nsenter.Int(flags),
		l.attr(unix.MountAttr{Propagation: propagation}), nsenter.Int(unix.MOUNT_ATTR_SIZE_VER0))
}

// write emits the writing of a text.
func (l *lowering) write(fd nsenter.Arg, text string) {
	l.call(unix.SYS_WRITE, fd, l.str(text), nsenter.Int(len(text)))
}

// writeSelf emits the writing of a text to a file of the host's /proc/self. The file is closed,
// because a process of a container that is joined must not find it.
func (l *lowering) writeSelf(file, text string) {
	fd := l.fd()
	l.hostOpen("/proc/self/"+file, unix.O_WRONLY).Result(fd)
	l.write(fd, text)
	l.call(unix.SYS_CLOSE, fd)
}

// prctl emits prctl(2), whose remaining arguments must be 0.
func (l *lowering) prctl(option int, args ...nsenter.Int) {
	all := [5]nsenter.Arg{nsenter.Int(option), nsenter.Int(0), nsenter.Int(0), nsenter.Int(0), nsenter.Int(0)}
	for i, a := range args {
		all[1+i] = a
	}
	l.call(unix.SYS_PRCTL, all[:]...)
}

// how returns the address of a struct open_how. The kernel does not write to it, so equal ones
// share an address.
func (l *lowering) how(how unix.OpenHow) nsenter.Addr {
	for i := range l.hows {
		if l.hows[i].how == how {
			return l.hows[i].addr
		}
	}
	a := l.prog.Words(how.Flags, how.Mode, how.Resolve)
	l.hows = append(l.hows, knownHow{how, a})
	return a
}

// setattr emits mount_setattr on the mount of fd.
func (l *lowering) setattr(fd nsenter.Arg, attr unix.MountAttr, recursive bool) *nsenter.Op {
	flags := unix.AT_EMPTY_PATH
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	return l.at(unix.SYS_MOUNT_SETATTR, in(fd), "", nsenter.Int(flags), l.attr(attr), nsenter.Int(unix.MOUNT_ATTR_SIZE_VER0))
}

// attr returns the address of a struct mount_attr, like how.
func (l *lowering) attr(attr unix.MountAttr) nsenter.Addr {
	for i := range l.attrs {
		if l.attrs[i].attr == attr {
			return l.attrs[i].addr
		}
	}
	a := l.prog.Words(attr.Attr_set, attr.Attr_clr, attr.Propagation, attr.Userns_fd)
	l.attrs = append(l.attrs, knownAttr{attr, a})
	return a
}

// move emits the attachment of a detached mount.
func (l *lowering) move(mount, to nsenter.Reg) *nsenter.Op {
	const flags = unix.MOVE_MOUNT_F_EMPTY_PATH | unix.MOVE_MOUNT_T_EMPTY_PATH
	l.record(unix.SYS_MOVE_MOUNT, wayAt, "", 0)
	none := nsenter.Arg(l.str(""))
	return l.prog.Call(unix.SYS_MOVE_MOUNT, mount, none, to, none, nsenter.Int(flags))
}

const openTree = unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC

// clone emits the copying of the mount of fd to a detached mount.
func (l *lowering) clone(fd nsenter.Arg, recursive bool) *nsenter.Op {
	flags := openTree | unix.AT_EMPTY_PATH
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	return l.at(unix.SYS_OPEN_TREE, in(fd), "", nsenter.Int(flags))
}

// send emits a message, and await the wait for an answer.
func (l *lowering) send(id int, value nsenter.Arg) {
	l.record(0, waySend, "", uint64(id))
	l.prog.Send(id, value)
}

// tell is send by a system call that most filters allow.
func (l *lowering) tell(id int, value nsenter.Arg) {
	l.record(unix.SYS_WRITE, waySend, "", uint64(id))
	l.prog.Write(id, value)
}

func (l *lowering) sendFile(id int, fd, value nsenter.Arg) {
	l.record(0, waySend, "", uint64(id))
	l.prog.SendFile(id, fd, value)
}

func (l *lowering) await() {
	l.record(0, wayAwait, "", 0)
	l.prog.Await()
}

// awaitRelease emits the wait for a byte from the ReleasePipe.
func (l *lowering) awaitRelease() {
	l.record(0, wayRelease, "", 0)
	l.prog.AwaitOn(ReleasePipe)
}

// awaitData emits the wait for an answer of at most size bytes.
func (l *lowering) awaitData(to nsenter.Addr, size int) {
	l.record(0, wayAwait, "", 0)
	l.prog.AwaitData(to, size)
}

// rendezvous emits a message and the wait for its answer.
func (l *lowering) rendezvous(id int) {
	l.send(id, nil)
	l.await()
}

// sendOr and awaitOr are send and await that jump to gone when the connection ends, since another
// `start` may come.
func (l *lowering) sendOr(id int, gone nsenter.Label) {
	l.record(0, waySend, "", uint64(id))
	l.prog.SendOr(id, gone)
}

func (l *lowering) awaitOr(gone nsenter.Label) {
	l.record(0, wayAwait, "", 0)
	l.prog.AwaitOr(gone)
}

// words returns the bytes of 32-bit words.
func words(list ...uint32) []byte {
	b := make([]byte, 0, 4*len(list))
	for _, w := range list {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return b
}

// rel returns an absolute path of the container as one below its root: "." for the root itself.
func rel(path string) string {
	if path == "/" {
		return "."
	}
	return path[1:]
}
