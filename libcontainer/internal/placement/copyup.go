package placement

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/cgroups"
	"github.com/orlop/orlop/libcontainer/internal/hooks"
	"github.com/orlop/orlop/libcontainer/internal/launch"
	"github.com/orlop/orlop/libcontainer/internal/proxy"
	"github.com/orlop/orlop/libcontainer/timeout"
)

// CopyUp copies the image's directory from into the tmpfs to, which has the given mount options.
// The copy is charged to the container, whose first process is first: linux.resources.memory limits
// it. A stop ends it.
func CopyUp(c Creation, first int, from, to *os.File, options []string, stops []hooks.Stop) error {
	kills := uint64(0)
	copier := launch.Copier{Start: func() (_ *proxy.Process, err error) {
		if err := c.Complete(first); err != nil { // systemd may not have written the limits yet
			return nil, err
		}
		if kills, err = c.OOMKills(); err != nil {
			return nil, err
		}
		return startProxy(c, first, stops)
	}}
	err := copier.Copy(from, to, options)
	if err != nil {
		err = explainCopy(c, err, kills, copier.Proc, stops)
	}
	if copier.Proc != nil {
		err = errors.Join(err, endProxy(copier.Proc))
	}
	return err
}

// startProxy starts a process that makes system calls for the runtime and whose memory is charged
// to the container.
func startProxy(c Creation, first int, stops []hooks.Stop) (*proxy.Process, error) {
	files := make([]*os.File, len(stops))
	for i, s := range stops {
		files[i] = s.File
	}
	var p *proxy.Process
	join, err := c.Charge(first, func(cgroup int) (pid int, err error) {
		if p, err = proxy.Start(cgroup, launch.AnswerLimit, files); err != nil {
			return 0, err
		}
		return p.Pid(), nil
	})
	if join != nil {
		_, err = p.Call(unix.SYS_WRITE, proxy.Int(join.Fd()), proxy.Text("0"), proxy.Int(1))
		join.Close()
	}
	if err == nil {
		// If memory runs out, the kernel must kill this process and not the container's.
		err = os.WriteFile("/proc/"+strconv.Itoa(p.Pid())+"/oom_score_adj", []byte("1000"), 0)
	}
	if err != nil {
		err = fmt.Errorf("start a process in the container's cgroup: %w", err)
		if p != nil {
			err = errors.Join(err, endProxy(p))
		}
		return nil, err
	}
	return p, nil
}

// explainCopy says what ended a copy. kills is the cgroup's number of OOM kills before it.
func explainCopy(c Creation, err error, kills uint64, p *proxy.Process, stops []hooks.Stop) error {
	var stopped *proxy.StoppedError
	switch {
	case errors.As(err, &stopped):
		err = stops[stopped.Stop].Err
	case p != nil && errors.Is(err, os.ErrDeadlineExceeded):
		return timeout.Errorf("no progress within %v: %s", launch.AnswerLimit, cgroups.BlockedBy(p.Pid()))
	}
	if !errors.Is(err, proxy.ErrKilled) && !errors.Is(err, launch.ErrEnded) && !errors.Is(err, unix.ENOMEM) {
		return err
	}
	now, countErr := c.OOMKills()
	if countErr == nil && (now > kills || errors.Is(err, unix.ENOMEM)) {
		return fmt.Errorf("the container's memory limit is too small for the copy (linux.resources.memory): %w", err)
	}
	return errors.Join(err, countErr)
}

// endProxy kills the process and waits for its end.
func endProxy(p *proxy.Process) error {
	pidfd, err := p.Kill()
	if err == nil {
		err = launch.AwaitEnd(pidfd, p.Pid(), time.Now().Add(launch.EndLimit))
	}
	if err != nil {
		return err
	}
	return p.Close()
}
