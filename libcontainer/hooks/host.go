package hooks

import (
	"errors"
	"os"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/specconv"
)

// Host returns the Starter for hooks that run in the runtime's namespaces: a plain fork and exec. The specification names no
// working folder for hooks; as with other runtimes it is the bundle's, dir, and "/" when that is gone, as it may be by
// the time of poststop. Of other descriptors the hook inherits those that are not close-on-exec, which are none of this
// library's.
func Host(dir string) Starter {
	return func(h specs.Hook, stdin, stdout, stderr *os.File) (Process, error) {
		args := h.Args
		if len(args) == 0 {
			args = []string{h.Path}
		}
		cwd := dir
		if _, err := os.Stat(dir); dir == "" || errors.Is(err, os.ErrNotExist) {
			cwd = "/"
		}
		pidfd := -1
		// syscall.StartProcess and not os.StartProcess: the hook is waited for here, by pid and pidfd, and a nil
		// environment is an empty one, not the runtime's.
		pid, _, err := syscall.StartProcess(h.Path, args, &syscall.ProcAttr{
			Dir:   cwd,
			Env:   specconv.Environment(h.Env),
			Files: []uintptr{stdin.Fd(), stdout.Fd(), stderr.Fd()},
			Sys:   &syscall.SysProcAttr{Setpgid: true, PidFD: &pidfd, Pdeathsig: syscall.SIGKILL},
		})
		if err != nil {
			return Process{}, err
		}
		p := Process{Pid: pid, Pidfd: os.NewFile(uintptr(pidfd), "pidfd")}
		if p.Pidfd == nil {
			// A kernel before 5.2, which lacks much else that is needed.
			_ = unix.Kill(-pid, unix.SIGKILL)
			_, _ = unix.Wait4(pid, nil, 0, nil)
			return Process{}, errors.New("kernel gives no process descriptors: Linux 5.2 or newer is needed")
		}
		return p, nil
	}
}
