package libcontainer

import (
	"fmt"
	"os"
	"runtime"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
)

// Namespaces made ahead: a network namespace takes the kernel 0.6 ms to make and an IPC namespace 0.1 ms, most of the time that
// the clone of a container's process takes. They are made on a thread of their own while the bundle is
// planned and the cgroup made, and the process joins them.

// aheadOfTime are the types of namespaces that are made ahead, if they are new and owned by the runtime's own user namespace.
var aheadOfTime = [...]specs.LinuxNamespaceType{specs.NetworkNamespace, specs.IPCNamespace}

// madeAhead are namespaces that are being made.
type madeAhead struct {
	flags uintptr // CLONE_NEW*
	files []nsenter.NamedFile
	err   error
	done  chan struct{}
}

// aheadOf says which namespaces of the bundle can be made ahead. Nothing is made yet.
func aheadOf(b *specconv.Bundle) *madeAhead {
	m := &madeAhead{done: make(chan struct{})}
	if _, ok := b.Namespace(specs.UserNamespace); ok {
		return m // it would not own them
	}
	for _, t := range aheadOfTime {
		if n, ok := b.Namespace(t); ok && n.Path == "" {
			flag, _ := specconv.NamespaceFlag(t)
			m.flags |= flag
		}
	}
	return m
}

// makeAhead begins to make the namespaces of the bundle that can be made ahead.
func makeAhead(b *specconv.Bundle) *madeAhead {
	m := aheadOf(b)
	if m.flags == 0 {
		close(m.done)
		return m
	}
	go m.onThread()
	return m
}

// onThread makes the namespaces on a thread that ends with the goroutine, so that nothing else ever runs in them. The main thread cannot
// end, so a goroutine that finds itself there lets another one do it.
func (m *madeAhead) onThread() {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		other := make(chan struct{})
		go func() {
			defer close(other)
			m.onThread()
		}()
		<-other
		runtime.UnlockOSThread()
		return
	}
	defer close(m.done)
	m.err = m.make()
}

func (m *madeAhead) make() error {
	if err := unix.Unshare(int(m.flags)); err != nil {
		return fmt.Errorf("make the container's namespaces: unshare: %w", err)
	}
	for _, k := range specconv.NamespaceKinds() {
		if m.flags&k.Flag == 0 {
			continue
		}
		f, err := os.Open("/proc/thread-self/ns/" + k.Proc)
		if err != nil {
			return err
		}
		m.files = append(m.files, nsenter.NamedFile{Name: string(setup.NewNamespace(k.Type)), File: f})
	}
	return nil
}

// wait returns the descriptors of the namespaces, once they are made.
func (m *madeAhead) wait() ([]nsenter.NamedFile, error) {
	<-m.done
	return m.files, m.err
}

// close lets go of the namespaces, which live on if the container's process has joined them.
func (m *madeAhead) close() {
	<-m.done
	for _, f := range m.files {
		f.File.Close()
	}
	m.files = nil
}
