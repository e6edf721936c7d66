// Package forker provides the OS thread that a container's process is forked from.
//
// Before the fork the thread works beside the planner. A network namespace takes the kernel 0.4 ms
// to make, IPC and mount namespaces 0.1 ms: most of the time that the clone of a container's
// process would take. The thread enters new namespaces itself, and the process inherits them. The
// thread ends with its work, so no other goroutine ever runs on it.
package forker

import (
	"fmt"
	"math/bits"
	"runtime"

	"golang.org/x/sys/unix"
)

// A Forker runs jobs on one thread, in order.
type Forker struct {
	namespaces uintptr
	affinity   affinity
	jobs       [maxJobs]job
	queued     counter // jobs that are there
}

type job struct {
	do   func() error
	done chan<- error
}

// maxJobs is how many jobs a forker takes: namespaces or processors, the cgroup, the process, and
// the end.
const maxJobs = 4

// Start starts a thread, which keeps off a processor until [Forker.ResetAffinity]; -1 is none. The
// caller must call End.
func Start(avoidCPU int) *Forker {
	f := new(Forker)
	go f.loop(avoidCPU)
	return f
}

// loop runs the jobs on a thread of its own. The main thread cannot end: a goroutine that finds
// itself there starts another one.
func (f *Forker) loop(avoidCPU int) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			f.loop(avoidCPU)
		}()
		<-ended
		runtime.UnlockOSThread()
		return
	}
	f.affinity = avoid(avoidCPU)
	var err error
	for i := range f.jobs {
		f.queued.wait(uint32(i))
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

// Do queues a job and returns a channel that receives its error. After a job has failed, those
// behind it are not run and fail with the same error.
func (f *Forker) Do(job func() error) <-chan error {
	done := make(chan error, 1)
	f.queue(job, done)
	return done
}

// End ends the thread after the jobs that are queued.
func (f *Forker) End() { f.queue(nil, nil) }

func (f *Forker) queue(do func() error, done chan<- error) {
	f.jobs[f.queued.n.Load()] = job{do, done}
	f.queued.add()
}

// Unshare queues the entering of new namespaces (CLONE_NEW*).
func (f *Forker) Unshare(namespaces uintptr) {
	if namespaces == 0 {
		return
	}
	f.namespaces = namespaces
	f.Do(func() error {
		if err := unix.Unshare(int(namespaces)); err != nil {
			return fmt.Errorf("make the container's namespaces: unshare: %w", err)
		}
		return nil
	})
}

// Namespaces are those that Unshare was called with: a process that is forked from the thread
// inherits them.
func (f *Forker) Namespaces() uintptr { return f.namespaces }

// SetAffinity queues the move of the thread to processors, given as words of 64 bits.
func (f *Forker) SetAffinity(cpus []uint64) <-chan error {
	return f.Do(func() error {
		set := unix.NewCPUSet(64 * len(cpus))
		for i, word := range cpus {
			for ; word != 0; word &= word - 1 {
				set.Set(64*i + bits.TrailingZeros64(word))
			}
		}
		return unix.SchedSetaffinityDynamic(0, set)
	})
}

// ResetAffinity gives the thread back the processor that it has kept off. A job calls it before it
// forks.
func (f *Forker) ResetAffinity() error { return f.affinity.reset() }
