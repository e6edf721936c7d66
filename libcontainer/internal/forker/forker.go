// Package forker provides the OS thread that a container's process is forked from.
//
// Before the fork the thread works in parallel with the planner. Creating a network namespace takes
// the kernel 0.4 ms, IPC and mount namespaces 0.1 ms: most of the time of a container's clone. The
// thread enters new namespaces itself, and the process inherits them. The thread ends with its
// work, and no other goroutine ever runs on it.
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
	jobs       chan job
}

type job struct {
	do   func() error
	done chan<- error
}

// maxJobs is the largest number of jobs: namespaces or processors, the cgroup, and the process. No
// caller waits to queue one.
const maxJobs = 3

// Start starts a thread that avoids a processor until [Forker.ResetAffinity]; -1 means none. The
// caller must call End.
func Start(avoidCPU int) *Forker {
	f := &Forker{jobs: make(chan job, maxJobs)}
	go f.loop(avoidCPU)
	return f
}

// loop runs the jobs on a thread of its own. The main thread cannot end, so a loop that lands on it
// starts another one.
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
	for j := range f.jobs {
		if err == nil {
			err = j.do()
		}
		j.done <- err
	}
}

// Do queues a job and returns a channel that receives its error. After a job has failed, later jobs
// are not run and fail with the same error.
func (f *Forker) Do(do func() error) <-chan error {
	done := make(chan error, 1)
	f.jobs <- job{do, done}
	return done
}

// End ends the thread after the queued jobs.
func (f *Forker) End() { close(f.jobs) }

// Unshare queues a job that enters new namespaces (CLONE_NEW*).
func (f *Forker) Unshare(namespaces uintptr) {
	if namespaces == 0 {
		return
	}
	f.namespaces = namespaces
	f.Do(func() error {
		if err := unix.Unshare(int(namespaces)); err != nil {
			return fmt.Errorf("create the container's namespaces: unshare: %w", err)
		}
		return nil
	})
}

// Namespaces returns those that Unshare was called with. A process forked from the thread inherits
// them.
func (f *Forker) Namespaces() uintptr { return f.namespaces }

// SetAffinity queues a job that moves the thread to processors, given as words of 64 bits.
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

// ResetAffinity lets the thread use the avoided processor again. A job calls it before it forks.
func (f *Forker) ResetAffinity() error { return f.affinity.reset() }
