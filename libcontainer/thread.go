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
// the kernel 0.4 ms to make, those of IPC and mounts 0.1 ms, most of the time that the clone of a container's process would take: the
// thread enters new ones itself, and the process inherits them. The thread ends with its work, so that nothing else ever runs there.
type forker struct {
	flags    uintptr // the namespaces (CLONE_NEW*) that it enters
	affinity affinity
	jobs     [jobsMost]job
	given    count // jobs that are there
}

// A job is something that a forker does.
type job struct {
	do   func() error
	done chan<- error
}

// jobsMost is how many jobs a forker gets: namespaces or processors, the cgroup, the process, and the end.
const jobsMost = 4

// startForker starts a thread, which keeps away from a processor until the job that ends its affinity; -1 is none. It must be ended.
func startForker(cpu int) *forker {
	f := new(forker)
	go f.loop(cpu)
	return f
}

// loop does the work on a thread of its own. The main thread cannot end, so a goroutine that finds itself there has another one do it.
func (f *forker) loop(cpu int) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			f.loop(cpu)
		}()
		<-ended
		runtime.UnlockOSThread()
		return
	}
	f.affinity = keepApart(cpu)
	var err error
	for i := range f.jobs {
		f.given.wait(uint32(i))
		j := &f.jobs[i]
		if j.do == nil {
			return
		}
		if err == nil {
			err = j.do()
		}
		j.done <- err
	}
}

// begin has the thread do something after what it does now, and returns what takes the outcome. When one thing has failed, the next ones
// fail likewise and are not done.
func (f *forker) begin(do func() error) <-chan error {
	done := make(chan error, 1)
	f.give(job{do, done})
	return done
}

// end ends the thread when it has done its work.
func (f *forker) end() { f.give(job{}) }

func (f *forker) give(j job) {
	f.jobs[f.given.n.Load()] = j
	f.given.add()
}

// inherited are the types of namespaces that the process inherits when they are new and the runtime's own user namespace owns them.
var inherited = [...]specs.LinuxNamespaceType{specs.NetworkNamespace, specs.IPCNamespace, specs.UTSNamespace, specs.MountNamespace}

// enter has the thread begin to enter new namespaces for a bundle's process.
func (f *forker) enter(b *specconv.Bundle) {
	if _, ok := b.Namespace(specs.UserNamespace); ok {
		return
	}
	for _, t := range inherited {
		if n, ok := b.Namespace(t); ok && n.Path == "" {
			flag, _ := specconv.NamespaceFlag(t)
			f.flags |= flag
		}
	}
	if f.flags == 0 {
		return
	}
	f.begin(func() error {
		if err := unix.Unshare(int(f.flags)); err != nil {
			return fmt.Errorf("make the container's namespaces: unshare: %w", err)
		}
		return nil
	})
}

// settle moves the thread to some processors, where a process is to be started (process.execCPUAffinity.initial). It is there before it joins the
// container's cgroup, which may have others.
func (f *forker) settle(cpus string) {
	f.begin(func() error {
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
			return &specconv.FieldError{Path: "process.execCPUAffinity.initial",
				Err: fmt.Errorf("set affinity to processors %s: sched_setaffinity: %w", cpus, err)}
		}
		return nil
	})
}
