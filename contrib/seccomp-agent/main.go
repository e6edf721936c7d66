// Seccomp-agent decides system calls for containers whose seccomp profile has SCMP_ACT_NOTIFY: it answers each with an errno, or lets the
// kernel go on with it. It is for tests, and an example of the protocol (config-linux.md, "The Container Process State"; seccomp_unotify(2)).
//
//	seccomp-agent [-errno N] SOCKET
//
// It prints "ready", what it gets of each container, a line of JSON, and of each call "call NUMBER".
package main

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	errno := flag.Int("errno", 0, "answer with this errno; 0 lets the kernel go on")
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	fmt.Fprintln(os.Stderr, serve(flag.Arg(0), int32(*errno)))
	os.Exit(1)
}

// serve answers until it cannot any more.
func serve(path string, errno int32) error {
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for {
		conn, err := socket.AcceptUnix()
		if err != nil {
			return err
		}
		listener, err := receive(conn)
		conn.Close()
		if err != nil {
			return err
		}
		go answer(listener, errno)
	}
}

// receive takes a container's state, which it prints, and its listener.
func receive(conn *net.UnixConn) (*os.File, error) {
	data, control := make([]byte, 64<<10), make([]byte, unix.CmsgSpace(4))
	n, controls, _, _, err := conn.ReadMsgUnix(data, control)
	if err != nil {
		return nil, err
	}
	rest, err := io.ReadAll(conn)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:controls])
	if err != nil || len(messages) != 1 {
		return nil, errors.Join(errors.New("no descriptor came"), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.Join(errors.New("no descriptor came"), err)
	}
	fmt.Printf("%s\n", append(data[:n], rest...))
	return os.NewFile(uintptr(fds[0]), "listener"), nil
}

// The layout of struct seccomp_notif and struct seccomp_notif_resp (linux/seccomp.h), and their ioctls.
const (
	notifSize, respSize = 80, 24
	ioctlReceive        = 3<<30 | notifSize<<16 | '!'<<8
	ioctlSend           = 3<<30 | respSize<<16 | '!'<<8 | 1
	flagContinue        = 1
)

// answer answers a container's calls until it has no process any more.
func answer(listener *os.File, errno int32) {
	defer listener.Close()
	for {
		var notif [notifSize]byte
		if err := ioctl(listener, ioctlReceive, &notif[0]); err != nil {
			if errors.Is(err, unix.EINTR) {
				continue
			}
			return
		}
		fmt.Printf("call %d\n", binary.NativeEndian.Uint32(notif[16:]))
		var resp [respSize]byte
		copy(resp[:8], notif[:8]) // the id
		if errno == 0 {
			binary.NativeEndian.PutUint32(resp[20:], flagContinue)
		} else {
			binary.NativeEndian.PutUint32(resp[16:], uint32(-errno))
		}
		// ENOENT: the process that made the call is gone.
		if err := ioctl(listener, ioctlSend, &resp[0]); err != nil && !errors.Is(err, unix.ENOENT) {
			fmt.Fprintln(os.Stderr, err)
			return
		}
	}
}

func ioctl(f *os.File, request uintptr, arg *byte) error {
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(unsafe.Pointer(arg))); e != 0 {
		return e
	}
	return nil
}
