package setup

import (
	"encoding/binary"
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
)

// openConsole opens a new terminal, sends its master to the runtime, and makes its slave the
// controlling terminal and the standard streams of the process. It never looks the slave up by
// name, because the image or a neighbour may have put something else there (CVE-2025-52565).
type openConsole struct {
	Size *specs.Box
	UID  uint32
	// Mount is set when the slave is mounted on /dev/console.
	Mount bool
	// PlainLines is Options.PlainLines.
	PlainLines bool
	// Later is set when a later step makes the terminal the controlling one: see
	// setControllingTerminal.
	Later bool
}

func (openConsole) kind() kind { return kind{phaseConsole, "open console", ""} }

func (c openConsole) String() string {
	text := "open a console"
	if c.Size != nil {
		text += fmt.Sprintf(" of %d rows and %d columns", c.Size.Height, c.Size.Width)
	}
	if c.PlainLines {
		text += ", without carriage returns"
	}
	return text
}

func (c openConsole) lower(l *lowering) {
	master, slave := l.fd(), l.fd()
	devpts := l.devpts
	if !l.hasPts {
		devpts = l.foundDevpts()
	}
	l.open(master, devpts, "ptmx", unix.O_RDWR|unix.O_NOCTTY, 0, inRoot|unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_XDEV)
	l.call(unix.SYS_IOCTL, master, nsenter.Int(unix.TIOCSPTLCK), l.prog.Bytes(words(0)))
	const flags = unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC
	l.call(unix.SYS_IOCTL, master, nsenter.Int(tiocgptpeer), nsenter.Int(flags)).Result(slave)
	if c.Size != nil {
		size := make([]byte, 8) // struct winsize
		binary.LittleEndian.PutUint16(size, uint16(c.Size.Height))
		binary.LittleEndian.PutUint16(size[2:], uint16(c.Size.Width))
		l.call(unix.SYS_IOCTL, slave, nsenter.Int(unix.TIOCSWINSZ), l.prog.Bytes(size))
	}
	if c.PlainLines {
		l.plainLines(slave)
	}
	if c.UID != 0 {
		// The group stays as devpts sets it (gid=5). EINVAL means a user that the namespace does
		// not map.
		l.call(unix.SYS_FCHOWN, slave, nsenter.Int(c.UID), nsenter.Int(-1)).Ignore(unix.EINVAL, unix.EPERM)
	}
	if c.Mount {
		c.mount(l, slave)
	}
	l.sendFile(MessageConsole, master, nil)
	if !c.Later {
		l.call(unix.SYS_IOCTL, slave, nsenter.Int(unix.TIOCSCTTY), nsenter.Int(0))
	}
	for fd := range 3 {
		l.call(unix.SYS_DUP3, slave, nsenter.Int(fd), nsenter.Int(0))
	}
}

// foundDevpts emits the opening of the container's /dev/pts, which the container may have replaced,
// and the check that it is a devpts. The kernel makes everything in a devpts, so ptmx there is the
// right device unless something is mounted over it.
func (l *lowering) foundDevpts() nsenter.Reg {
	const statfsSize = 120 // struct statfs, which begins with the filesystem's magic number
	devpts, ok := l.fd(), l.prog.NewLabel()
	l.open(devpts, l.root, "dev/pts", unix.O_PATH|unix.O_DIRECTORY, 0, inRoot)
	statfs := l.prog.Bytes(make([]byte, statfsSize))
	l.call(unix.SYS_FSTATFS, devpts, statfs)
	l.prog.Load(statfs, ^uint32(0), unix.DEVPTS_SUPER_MAGIC).OnZero(ok)
	l.prog.Fail(unix.ENODEV)
	l.prog.Place(ok)
	return devpts
}

// plainLines emits the clearing of a terminal's ONLCR flag.
func (l *lowering) plainLines(slave nsenter.Reg) {
	const oflag = 4 // offset of c_oflag in the kernel's struct termios
	const size = 36 // of struct termios
	termios, flags := l.prog.Bytes(make([]byte, size)), l.prog.Reg()
	l.call(unix.SYS_IOCTL, slave, nsenter.Int(unix.TCGETS), termios)
	l.prog.Load(termios+oflag, ^uint32(unix.ONLCR), 0).Result(flags)
	l.prog.Store(termios+oflag, flags)
	l.call(unix.SYS_IOCTL, slave, nsenter.Int(unix.TCSETS), termios)
}

// tiocgptpeer opens the slave of a master. Its value is the same on amd64 and arm64.
const tiocgptpeer = unix.TIOCGPTPEER

// mount emits the binding of the slave on /dev/console.
func (c openConsole) mount(l *lowering, slave nsenter.Reg) {
	dev, _ := l.directory("/dev")
	console, tree := l.fd(), l.fd()
	l.makeIn(dev, "console", aFile)
	l.open(console, dev, "console", unix.O_PATH, 0, inRoot|unix.RESOLVE_NO_SYMLINKS)
	l.clone(slave, false).Result(tree)
	l.move(tree, console)
}
