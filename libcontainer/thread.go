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

// A forker is the OS thread that a container's process is forked from. A network namespace takes the kernel 0.5 ms to make and an IPC
// namespace 0.1 ms, most of the time that the clone of a container's process would take: the thread enters new ones itself,
// while the container is planned and its cgroup made, and the process inherits them. The thread ends with its work, so that nothing
// else ever runs there.
type forker struct {
	flags uintptr      // the namespaces (CLONE_NEW*) that it enters
	then  func() error // what it does after that
	work  chan func()
	ready chan error // takes the outcome of both
}

// inherited are the types of namespaces that the process inherits when they are new and the runtime's own user namespace owns them.
var inherited = [...]specs.LinuxNamespaceType{specs.NetworkNamespace, specs.IPCNamespace}

// newForker starts the thread for a bundle's process. It must be ended. then is done there, beside other work, before the process.
func newForker(b *specconv.Bundle, then func() error) *forker {
	flags := uintptr(0)
	if _, ok := b.Namespace(specs.UserNamespace); !ok {
		for _, t := range inherited {
			if n, ok := b.Namespace(t); ok && n.Path == "" {
				flag, _ := specconv.NamespaceFlag(t)
				flags |= flag
			}
		}
	}
	return startForker(flags, then)
}

func startForker(flags uintptr, then func() error) *forker {
	f := &forker{flags: flags, then: then, work: make(chan func()), ready: make(chan error, 1)}
	go f.loop()
	return f
}

// newAffineForker starts a thread for a process that is to be started on some processors (process.execCPUAffinity.initial): the thread is
// on them before it joins the container's cgroup, which may have others.
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

// loop does the work on a thread of its own. The main thread cannot end, so a goroutine that finds itself there has another one do it.
func (f *forker) loop() {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			f.loop()
		}()
		<-ended
		runtime.UnlockOSThread()
		return
	}
	f.ready <- f.prepare()
	for do := range f.work {
		do()
	}
}

func (f *forker) prepare() error {
	if f.flags != 0 {
		if err := unix.Unshare(int(f.flags)); err != nil {
			return fmt.Errorf("make the container's namespaces: unshare: %w", err)
		}
	}
	return f.then()
}

// run has the thread do something, and does not wait for it.
func (f *forker) run(do func()) { f.work <- do }

// end ends the thread when it has done its work.
func (f *forker) end() { close(f.work) }
