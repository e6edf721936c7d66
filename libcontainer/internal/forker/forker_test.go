package forker

import (
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// TestAvoid: a thread that has kept off a processor gets back those that it had, also when it had
// asked for some.
func TestAvoid(t *testing.T) {
	affine := func() (set unix.CPUSet) {
		if err := unix.SchedGetaffinity(0, &set); err != nil {
			t.Fatal(err)
		}
		return set
	}
	// on runs what is to happen on a thread that ends with it.
	on := func(do func()) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			runtime.LockOSThread()
			do()
		}()
		<-done
	}
	all := affine()
	if all.Count() < 2 {
		t.Skip("needs two processors")
	}
	on(func() {
		here := CurrentCPU()
		a := avoid(here)
		if now := affine(); now.IsSet(here) || now.Count() != all.Count()-1 {
			t.Errorf("%v, to keep off %d of %v", now, here, all)
		}
		if now := CurrentCPU(); now == here {
			t.Errorf("still on processor %d", now)
		}
		if err := a.reset(); err != nil || affine() != all {
			t.Errorf("%v of %v afterwards, %v", affine(), all, err)
		}
		if err := a.reset(); err != nil {
			t.Errorf("ended twice: %v", err)
		}
	})
	on(func() {
		var one unix.CPUSet
		one.Set(CurrentCPU())
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			t.Fatal(err)
		}
		a := avoid(CurrentCPU())
		if affine() != one || a.reset() != nil || affine() != one {
			t.Errorf("of one processor came %v", affine())
		}
	})
	on(func() { // as under taskset: those that were asked for, and no more
		some := all
		for cpu := range 1024 {
			if some.IsSet(cpu) && some.Count() > 2 {
				some.Clear(cpu)
			}
		}
		if err := unix.SchedSetaffinity(0, &some); err != nil {
			t.Fatal(err)
		}
		a := avoid(CurrentCPU())
		if err := a.reset(); err != nil || affine() != some {
			t.Errorf("%v of %v, %v", affine(), some, err)
		}
	})
	a := avoid(-1)
	if a.changed || a.reset() != nil {
		t.Error("kept off no processor")
	}
}

// TestSetAffinity: a job runs on the processors that were asked for, and without any fails.
func TestSetAffinity(t *testing.T) {
	f := Start(-1)
	defer f.End()
	cpu := CurrentCPU()
	mask := make([]uint64, cpu/64+1)
	mask[cpu/64] = 1 << (cpu % 64)
	if err := <-f.SetAffinity(mask); err != nil {
		t.Fatal(err)
	}
	ran := -1
	if err := <-f.Do(func() error { ran = CurrentCPU(); return nil }); err != nil || ran != cpu {
		t.Errorf("ran on processor %d, not %d: %v", ran, cpu, err)
	}
	if err := <-f.SetAffinity([]uint64{0}); err != unix.EINVAL {
		t.Errorf("no processor: %v", err)
	}
}

// TestForkerOrder: jobs are done one after the other on one thread, none after one that failed.
func TestForkerOrder(t *testing.T) {
	f := Start(-1)
	var order []int
	threads := map[int]bool{}
	job := func(n int, err error) func() error {
		return func() error {
			order = append(order, n)
			threads[unix.Gettid()] = true
			return err
		}
	}
	first, second := f.Do(job(1, nil)), f.Do(job(2, unix.ENOSPC))
	third := f.Do(job(3, nil))
	f.End()
	if err := <-first; err != nil {
		t.Error(err)
	}
	for _, done := range []<-chan error{second, third} {
		if err := <-done; err != unix.ENOSPC {
			t.Errorf("error %v", err)
		}
	}
	if !slices.Equal(order, []int{1, 2}) || len(threads) != 1 || threads[unix.Getpid()] {
		t.Errorf("jobs %v on threads %v", order, threads)
	}
}
