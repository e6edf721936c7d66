package libcontainer

import (
	"errors"
	"fmt"
	"math/bits"
	"runtime"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/specconv"
)

// A forker is the OS thread that a container's process is forked from, and that works beside the planner before that. A network namespace takes
// the kernel 0.5 ms to make and an IPC namespace 0.1 ms, most of the time that the clone of a container's process would take: the
// thread enters new ones itself, and the process inherits them. The thread ends with its work, so that nothing else ever runs there.
type forker struct {
	flags uintptr // the namespaces (CLONE_NEW*) that it enters
	jobs  chan job
}

// A job is something that a forker does.
type job struct {
	do   func() error
	done chan<- error
}

// inherited are the types of namespaces that the process inherits when they are new and the runtime's own user namespace owns them.
var inherited = [...]specs.LinuxNamespaceType{specs.NetworkNamespace, specs.IPCNamespace}

// newForker starts the thread for a bundle's process, which enters namespaces at once. It must be ended.
func newForker(b *specconv.Bundle) *forker {
	flags := uintptr(0)
	if _, ok := b.Namespace(specs.UserNamespace); !ok {
		for _, t := range inherited {
			if n, ok := b.Namespace(t); ok && n.Path == "" {
				flag, _ := specconv.NamespaceFlag(t)
				flags |= flag
			}
		}
	}
	return startForker(flags, func() error {
		if flags == 0 {
			return nil
		}
		if err := unix.Unshare(int(flags)); err != nil {
			return fmt.Errorf("make the container's namespaces: unshare: %w", err)
		}
		return nil
	})
}

// newAffineForker starts a thread for a process that is to be started on some processors (process.execCPUAffinity.initial): the thread is
// on them, and so is the process before it joins the container's cgroup, which may have others.
func newAffineForker(cpus string) *forker {
	return startForker(0, func() error {
		mask := specconv.RangeMask(cpus)
		set := unix.NewCPUSet(64 * len(mask))
		for i, word := range mask {
			for ; word != 0; word &= word - 1 {
				set.Set(64*i + bits.TrailingZeros64(word))
			}
		}
		err := unix.SchedSetaffinityDynamic(0, set)
		if errors.Is(err, unix.EINVAL) {
			err = fmt.Errorf("%w (none of these processors is online and the runtime's to use)", err)
		}
		if err != nil {
			return fmt.Errorf("process.execCPUAffinity.initial: set affinity to processors %s: sched_setaffinity: %w", cpus, err)
		}
		return nil
	})
}

// startForker starts a thread that begins with first. When that fails, it does nothing else.
func startForker(flags uintptr, first func() error) *forker {
	f := &forker{flags: flags, jobs: make(chan job, 1)}
	go f.loop(first)
	return f
}

// loop does the work on a thread of its own. The main thread cannot end, so a goroutine that finds itself there has another one do it.
func (f *forker) loop(first func() error) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			f.loop(first)
		}()
		<-ended
		runtime.UnlockOSThread()
		return
	}
	err := first()
	for j := range f.jobs {
		if err == nil {
			j.done <- j.do()
		} else {
			j.done <- err
		}
	}
}

// begin has the thread do something after what it does now, and returns what takes the outcome.
func (f *forker) begin(do func() error) <-chan error {
	done := make(chan error, 1)
	f.jobs <- job{do, done}
	return done
}

// end ends the thread when it has done its work.
func (f *forker) end() { close(f.jobs) }
