package libcontainer

import (
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// TestKeepApart: a thread that has kept away from a processor has those again that it had, also when it had asked for some.
func TestKeepApart(t *testing.T) {
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
		here := processor()
		a := keepApart(here)
		if now := affine(); now.IsSet(here) || now.Count() != all.Count()-1 {
			t.Errorf("%v, to be apart from %d of %v", now, here, all)
		}
		if now := processor(); now == here {
			t.Errorf("still on processor %d", now)
		}
		if err := a.end(); err != nil || affine() != all {
			t.Errorf("%v of %v afterwards, %v", affine(), all, err)
		}
		if err := a.end(); err != nil {
			t.Errorf("ended twice: %v", err)
		}
	})
	on(func() {
		var one unix.CPUSet
		one.Set(processor())
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			t.Fatal(err)
		}
		a := keepApart(processor())
		if affine() != one || a.end() != nil || affine() != one {
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
		a := keepApart(processor())
		if err := a.end(); err != nil || affine() != some {
			t.Errorf("%v of %v, %v", affine(), some, err)
		}
	})
	a := keepApart(-1)
	if a.apart || a.end() != nil {
		t.Error("apart from no processor")
	}
}

// TestForkerOrder: jobs are done one after the other on one thread, none after one that failed.
func TestForkerOrder(t *testing.T) {
	f := startForker(-1)
	var order []int
	threads := map[int]bool{}
	job := func(n int, err error) func() error {
		return func() error {
			order = append(order, n)
			threads[unix.Gettid()] = true
			return err
		}
	}
	first, second := f.begin(job(1, nil)), f.begin(job(2, unix.ENOSPC))
	third := f.begin(job(3, nil))
	f.end()
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
