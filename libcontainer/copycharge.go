package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/cgroups"
	"github.com/orlop/orlop/libcontainer/hooks"
	"github.com/orlop/orlop/libcontainer/internal/launch"
	"github.com/orlop/orlop/libcontainer/proxy"
	"github.com/orlop/orlop/libcontainer/timeout"
	"github.com/orlop/orlop/specconv"
)

// copyUp fills a tmpfs with what the directory has that it covers. step is the mount's. The copy is charged to the container, so that
// linux.resources.memory holds for it.
func (c *creation) copyUp(from, to *os.File, step uint32) error {
	field, mount := c.steps.CopiedUp(step)
	if from == nil || to == nil {
		return &specconv.FieldError{Path: field, Err: errors.New("tmpcopyup: the process sent no descriptor")}
	}
	stops := c.runtime.stopsAtEnd(c.process.Pidfd())
	kills := uint64(0)
	copier := launch.Copier{Start: func() (_ *proxy.Process, err error) {
		if err := c.place.Complete(c.process.Pid()); err != nil { // systemd may not have written the limits yet
			return nil, err
		}
		if kills, err = c.place.OOMKills(); err != nil {
			return nil, err
		}
		return c.startProxy(stops)
	}}
	err := copier.Copy(from, to, mount.Data)
	if err != nil {
		err = c.whyNotCopied(err, kills, copier.Proc, stops)
	}
	if copier.Proc != nil {
		err = errors.Join(err, endProxy(copier.Proc))
	}
	if err != nil {
		return &specconv.FieldError{Path: field, Err: fmt.Errorf("tmpcopyup of %s: %w", mount.Destination, err)}
	}
	return nil
}

// startProxy starts a process that is charged to the container's cgroup for what it has made for it.
func (c *creation) startProxy(stops []hooks.Stop) (*proxy.Process, error) {
	files := make([]*os.File, len(stops))
	for i, s := range stops {
		files[i] = s.File
	}
	var p *proxy.Process
	join, err := c.place.Charge(c.process.Pid(), func(cgroup int) (pid int, err error) {
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
		// If memory runs out, the kernel is to kill this process, not the container's.
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

// whyNotCopied says what has ended a copy. kills is how many processes of the cgroup the kernel had killed before.
func (c *creation) whyNotCopied(err error, kills uint64, p *proxy.Process, stops []hooks.Stop) error {
	var stopped *proxy.StoppedError
	switch {
	case errors.As(err, &stopped):
		err = stops[stopped.Stop].Err
	case p != nil && errors.Is(err, os.ErrDeadlineExceeded):
		return timeout.Errorf("no progress within %v: %s", launch.AnswerLimit, cgroups.BlockedBy(p.Pid()))
	}
	if !errors.Is(err, proxy.ErrKilled) && !errors.Is(err, errEnded) && !errors.Is(err, unix.ENOMEM) {
		return err
	}
	now, countErr := c.place.OOMKills()
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
