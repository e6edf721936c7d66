package libcontainer

import (
	"fmt"
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
	f := &forker{then: then, work: make(chan func()), ready: make(chan error, 1)}
	if _, ok := b.Namespace(specs.UserNamespace); !ok {
		for _, t := range inherited {
			if n, ok := b.Namespace(t); ok && n.Path == "" {
				flag, _ := specconv.NamespaceFlag(t)
				f.flags |= flag
			}
		}
	}
	go f.loop()
	return f
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
