package nsenter

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Start says what a program's process begins with. The zero value is a process with /dev/null for its standard
// streams, in its parent's namespaces and cgroups.
type Start struct {
	Stdin, Stdout, Stderr *os.File   // nil: /dev/null
	Inherit               []*os.File // become descriptors 3, 4, ...; a nil one stays closed
	Files                 []NamedFile
	Cloneflags            uintptr // CLONE_NEW*: namespaces that the process is born in
}

// A NamedFile is a descriptor that the program refers to as FD(Name). It stays the caller's to close.
type NamedFile struct {
	Name string
	File *os.File
}

// channelName is the descriptor's name that Channel begins as. All descriptors from it on are the runtime's own.
const channelName = "channel"

// FirstOwn is the lowest descriptor in the new process that is not meant for the program which is executed in the end:
//
//	p.Call(unix.SYS_CLOSE_RANGE, nsenter.FirstOwn, nsenter.Int(math.MaxUint32), nsenter.Int(unix.CLOSE_RANGE_CLOEXEC))
const FirstOwn = FD(channelName)

// A Launch is a process that is ready to be started.
type Launch struct {
	start   Start
	program *Program
	files   []uintptr
	image   *os.File
	channel [2]*os.File // the parent's end, the child's end
	null    *os.File
}

// Prepare encodes and seals the program and makes its channel. Nothing is started yet; the caller must end with
// [Launch.Close].
func Prepare(p *Program, s Start) (_ *Launch, err error) {
	l := &Launch{start: s, program: p}
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
	if l.null, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
		return nil, err
	}
	fds := l.number()
	image, err := p.Image(fds)
	if err != nil {
		return nil, err
	}
	if l.image, err = image.seal(); err != nil {
		return nil, err
	}
	l.files = append(l.files, l.image.Fd())
	return l, nil
}

// number lays out the descriptors of the new process: the standard streams, the inherited ones, and then the runtime's own.
func (l *Launch) number() map[string]int {
	s := &l.start
	for _, f := range []*os.File{s.Stdin, s.Stdout, s.Stderr} {
		if f == nil {
			f = l.null
		}
		l.files = append(l.files, f.Fd())
	}
	for _, f := range s.Inherit {
		if f == nil {
			l.files = append(l.files, ^uintptr(0))
			continue
		}
		l.files = append(l.files, f.Fd())
	}
	fds := make(map[string]int, len(s.Files)+1)
	fds[channelName] = len(l.files)
	l.files = append(l.files, l.channel[1].Fd())
	for _, n := range s.Files {
		fds[n.Name] = len(l.files)
		l.files = append(l.files, n.File.Fd())
	}
	return fds
}

// seal writes the image into a memfd and makes it immutable.
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

// Start starts the process. cgroup is a descriptor of the cgroup2 folder that it is born in, or -1. On v1 hierarchies it
// is born where the calling thread is, which then must be locked to its goroutine.
//
// The process's signal mask and ignored signals are the caller's. It is the caller's child, to be waited for.
func (l *Launch) Start(cgroup int) (*Process, error) {
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
	if pidfd < 0 {
		// Linux 5.14 has it, so something in between hides it.
		unix.Kill(pid, unix.SIGKILL)
		unix.Wait4(pid, nil, 0, nil)
		return nil, errors.New("start a process: the kernel gave no pidfd")
	}
	// The child's end must be closed here, or its death would not be seen.
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

// A Process is the process of a program, which the caller has to wait for.
type Process struct {
	Pid   int
	Pidfd *os.File
	Conn  *Conn
}

// Kill ends the process at once and waits for it. It is for a process that did not get as far as its last operation.
func (p *Process) Kill() error {
	err := unix.PidfdSendSignal(int(p.Pidfd.Fd()), unix.SIGKILL, nil, 0)
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill process %d: %w", p.Pid, err)
	}
	_, err = p.Wait()
	return err
}

// Wait waits for the end of the process and returns its status.
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

// Close closes the descriptors of the process, which goes on.
func (p *Process) Close() {
	p.Pidfd.Close()
	p.Conn.Close()
}
