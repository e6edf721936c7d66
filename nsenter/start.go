package nsenter

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Start describes the initial state of a program's process. The zero value is a process with
// /dev/null for its standard streams, in its parent's namespaces and cgroups.
type Start struct {
	Stdin, Stdout, Stderr *os.File   // nil: /dev/null
	Inherit               []*os.File // become descriptors 3, 4, ...; a nil one stays closed
	Files                 []NamedFile
	// Cloneflags are the new namespaces (CLONE_NEW*) of the process; not CLONE_NEWTIME, see
	// clone(2).
	Cloneflags uintptr
	Senders    bool // record who sent each message: see Message
}

// namespaceFlags are the namespaces that clone can make. The bit of CLONE_NEWTIME is part of the
// exit signal for the parent: the process would silently get neither. A program can unshare a time
// namespace.
const namespaceFlags = unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// A NamedFile is a descriptor that the program refers to as FD(Name). The caller remains
// responsible for closing it. With File nil it is only named, and passed later: see [Launch.Give].
type NamedFile struct {
	Name string
	File *os.File
}

// channelName is the name of Channel's initial descriptor. All descriptors from it on are the
// runtime's own.
const channelName = "channel"

// FirstOwn is the lowest descriptor in the new process that is not for the program that is executed
// in the end:
//
//	p.Call(unix.SYS_CLOSE_RANGE, nsenter.FirstOwn, nsenter.Int(math.MaxUint32),
//		nsenter.Int(unix.CLOSE_RANGE_CLOEXEC))
const FirstOwn = FD(channelName)

// A Launch is a process that is ready to be started, once.
type Launch struct {
	start   Start // keeps its files open
	files   []uintptr
	fds     map[string]int // the number of each named file
	given   []*os.File     // keeps the files passed later open
	missing int            // named files that have not been passed yet
	image   *os.File
	channel [2]*os.File // the parent's end, the child's end
	null    *os.File    // nil when it is not needed
}

// Prepare encodes and seals the program and makes its channel. Nothing is started yet; the caller
// must call [Launch.Close] in the end.
func Prepare(p *Program, s Start) (_ *Launch, err error) {
	if extra := s.Cloneflags &^ namespaceFlags; extra != 0 {
		return nil, fmt.Errorf("prepare a process: clone flags %#x are not for namespaces that clone makes", extra)
	}
	l := &Launch{start: s}
	defer func() {
		if err != nil {
			l.Close()
		}
	}()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socketpair: %w", err)
	}
	l.channel[0] = os.NewFile(uintptr(pair[0]), "channel")
	l.channel[1] = os.NewFile(uintptr(pair[1]), "channel of the child")
	if s.Senders {
		if err := unix.SetsockoptInt(pair[0], unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
			return nil, fmt.Errorf("prepare a process: SO_PASSCRED: %w", err)
		}
	}
	if err := l.number(); err != nil {
		return nil, err
	}
	image, err := p.Image(l.fds)
	if err != nil {
		return nil, err
	}
	if l.image, err = image.seal(); err != nil {
		return nil, err
	}
	l.files = append(l.files, l.image.Fd())
	return l, nil
}

// closed marks a child descriptor that stays closed; it is also what (*os.File).Fd returns for a
// closed file.
const closed = ^uintptr(0)

// number assigns the descriptors of the new process: the standard streams, the inherited ones, and
// then the runtime's own.
func (l *Launch) number() error {
	s := &l.start
	l.files = make([]uintptr, 0, 3+len(s.Inherit)+1+len(s.Files)+1)
	for i, f := range []*os.File{s.Stdin, s.Stdout, s.Stderr} {
		if f == nil {
			if err := l.openNull(); err != nil {
				return err
			}
			f = l.null
		}
		if err := l.pass(f); err != nil {
			return fmt.Errorf("pass descriptor %d: %w", i, err)
		}
	}
	for i, f := range s.Inherit {
		if f == nil {
			l.files = append(l.files, closed)
			continue
		}
		if err := l.pass(f); err != nil {
			return fmt.Errorf("pass descriptor %d: %w", 3+i, err)
		}
	}
	l.fds = make(map[string]int, len(s.Files)+1)
	l.fds[channelName] = len(l.files)
	l.files = append(l.files, l.channel[1].Fd())
	for _, n := range s.Files {
		if _, taken := l.fds[n.Name]; taken {
			return fmt.Errorf("pass descriptor %q: the name is taken", n.Name)
		}
		l.fds[n.Name] = len(l.files)
		if n.File == nil {
			l.files = append(l.files, closed)
			l.missing++
			continue
		}
		if err := l.pass(n.File); err != nil {
			return fmt.Errorf("pass descriptor %q: %w", n.Name, err)
		}
	}
	return nil
}

// Give passes a file that [Start.Files] only named. The image only contains the file's number, so
// it can be made before the file exists. The file must stay open until the process is started.
func (l *Launch) Give(name string, f *os.File) error {
	fd, named := l.fds[name]
	if !named || l.files[fd] != closed {
		return fmt.Errorf("pass descriptor %q: the launch does not wait for it", name)
	}
	own := f.Fd()
	if own == closed { // or nil
		return fmt.Errorf("pass descriptor %q: %w", name, os.ErrClosed)
	}
	l.files[fd] = own
	l.given = append(l.given, f)
	l.missing--
	return nil
}

func (l *Launch) pass(f *os.File) error {
	fd := f.Fd()
	if fd == closed { // or nil
		return os.ErrClosed
	}
	l.files = append(l.files, fd)
	return nil
}

// openNull opens /dev/null without os.Open, which would start the poller for it.
func (l *Launch) openNull() error {
	if l.null != nil {
		return nil
	}
	fd, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	l.null = os.NewFile(uintptr(fd), os.DevNull)
	return nil
}

// seal writes the image to a memfd and makes it immutable.
func (im *Image) seal() (*os.File, error) {
	const name = "orlop"
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // MFD_EXEC: since Linux 6.3
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if errors.Is(err, unix.EACCES) {
		return nil, fmt.Errorf("memfd_create: %w (the sysctl vm.memfd_noexec forbids executable ones)", err)
	}
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "memfd:"+name)
	if err := im.writeTo(f); err != nil {
		f.Close()
		return nil, err
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		f.Close()
		return nil, fmt.Errorf("seal the image: %w", err)
	}
	return f, nil
}

func (im *Image) writeTo(f *os.File) error {
	if _, err := f.WriteAt(im.text, 0); err != nil {
		return err
	}
	_, err := f.WriteAt(im.data, int64(dataFileOffset(len(im.text))))
	return err
}

// Start starts the process. cgroup is a descriptor of the cgroup2 directory in which it starts, or
// -1. On v1 hierarchies it starts in the cgroups of the calling thread, which must then be locked
// to its goroutine. After an error, Start may be called again.
//
// The process inherits the caller's signal mask and ignored signals. It is the caller's child, and
// the caller must wait for it.
func (l *Launch) Start(cgroup int) (*Process, error) {
	if l.channel[1] == nil {
		return nil, errors.New("start a process: this launch was started or closed before")
	}
	if l.missing > 0 {
		return nil, fmt.Errorf("start a process: %d descriptors were named but not passed", l.missing)
	}
	pidfd := -1
	sys := &syscall.SysProcAttr{
		Cloneflags:  l.start.Cloneflags,
		UseCgroupFD: cgroup >= 0,
		CgroupFD:    cgroup,
		PidFD:       &pidfd,
	}
	// The image is executed by its number in the new process, where it is the last descriptor.
	path := fmt.Sprintf("/proc/self/fd/%d", len(l.files)-1)
	pid, err := syscall.ForkExec(path, []string{"orlop"}, &syscall.ProcAttr{Env: []string{}, Files: l.files, Sys: sys})
	if err != nil {
		return nil, fmt.Errorf("start a process (%s): %w", cloneflagNames(l.start.Cloneflags), err)
	}
	// An open copy of the child's end would hide the child's death.
	l.channel[1].Close()
	p := &Process{
		Pid:   pid,
		Pidfd: os.NewFile(uintptr(pidfd), "pidfd"),
		Conn:  NewConn(l.channel[0]),
	}
	l.channel = [2]*os.File{}
	return p, nil
}

// Close releases what was not started.
func (l *Launch) Close() {
	for _, f := range []*os.File{l.image, l.channel[0], l.channel[1], l.null} {
		if f != nil {
			f.Close()
		}
	}
	l.image, l.null, l.channel = nil, nil, [2]*os.File{}
}

// A Process is the process of a program. The caller must wait for it.
type Process struct {
	Pid   int
	Pidfd *os.File
	Conn  *Conn
}

// Kill kills the process and waits for it. It is for a process that did not reach its last
// operation.
func (p *Process) Kill() error {
	err := unix.PidfdSendSignal(int(p.Pidfd.Fd()), unix.SIGKILL, nil, 0)
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill process %d: %w", p.Pid, err)
	}
	_, err = p.Wait()
	return err
}

// Wait waits for the exit of the process and returns its status.
func (p *Process) Wait() (unix.WaitStatus, error) {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(p.Pid, &status, unix.WALL, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("wait for process %d: %w", p.Pid, err)
		}
		return status, nil
	}
}

// Close closes the descriptors of the process, which continues.
func (p *Process) Close() {
	p.Pidfd.Close()
	p.Conn.Close()
}
