package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func testRoot(t testing.TB) *Root {
	t.Helper()
	return Open(filepath.Join(t.TempDir(), "not", "yet", "there"))
}

func mustCreate(t testing.TB, r *Root, id string) *Dir {
	t.Helper()
	d, err := r.Create(id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func mustOpen(t testing.TB, r *Root, id string) *Dir {
	t.Helper()
	d, err := r.Open(id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// entries returns what is in the root, transit names included.
func entries(t testing.TB, r *Root) []string {
	t.Helper()
	all, err := os.ReadDir(r.Path())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range all {
		names = append(names, e.Name())
	}
	return names
}

func TestLife(t *testing.T) {
	r := testRoot(t)
	if ids, err := r.List(); len(ids) != 0 || err != nil {
		t.Fatalf("list without a root: %v, %v", ids, err)
	}
	if _, err := r.Open("c1"); !errors.Is(err, ErrNotExist) {
		t.Fatalf("open without a root: %v", err)
	}
	d := mustCreate(t, r, "c1")
	if fi, err := os.Stat(d.Path()); err != nil || fi.Mode() != os.ModeDir|0o700 {
		t.Fatalf("directory: %v, %v", fi, err)
	}
	if _, err := r.Create("c1"); !errors.Is(err, ErrExist) {
		t.Fatalf("second create: %v", err)
	}
	other := mustOpen(t, r, "c1")
	if ok, err := other.TryLock(); ok || err != nil {
		t.Fatalf("locked beside the creator: %v, %v", ok, err)
	}
	if _, err := other.Read(); !errors.Is(err, ErrNoRecord) {
		t.Fatalf("read before write: %v", err)
	}
	if err := d.Write(&Record{ID: "c1", Pid: 7}); err != nil {
		t.Fatal(err)
	}
	if rec, err := other.Read(); err != nil || rec.Pid != 7 {
		t.Fatalf("read: %+v, %v", rec, err)
	}
	if err := d.Unlock(); err != nil {
		t.Fatal(err)
	}
	if ok, err := other.TryLock(); !ok || err != nil {
		t.Fatalf("not locked after unlock: %v, %v", ok, err)
	}
	mustCreate(t, r, "c0")
	if ids, err := r.List(); err != nil || fmt.Sprint(ids) != "[c0 c1]" {
		t.Fatalf("list: %v, %v", ids, err)
	}
	late := mustOpen(t, r, "c1")
	if err := other.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := late.Read(); !errors.Is(err, ErrNotExist) {
		t.Errorf("read after remove: %v", err)
	}
	if err := late.Lock(time.Minute); !errors.Is(err, ErrNotExist) {
		t.Errorf("lock after remove: %v", err)
	}
	if err := late.Remove(); !errors.Is(err, ErrNotExist) {
		t.Errorf("second remove: %v", err)
	}
	if err := other.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("close after remove: %v", err)
	}
	if got := fmt.Sprint(entries(t, r)); got != "[c0]" {
		t.Errorf("left in the root: %s", got)
	}
}

func TestNames(t *testing.T) {
	r := testRoot(t)
	for _, id := range []string{"", ".", "..", "a/b", "../x", "~1", "a\x00b", strings.Repeat("x", 256)} {
		if _, err := r.Create(id); !errors.Is(err, ErrInvalidID) {
			t.Errorf("create %q: %v", id, err)
		}
		if _, err := r.Open(id); !errors.Is(err, ErrInvalidID) {
			t.Errorf("open %q: %v", id, err)
		}
	}
	mustCreate(t, r, strings.Repeat("x", 255))
	// A link in the root is not a container, whatever it leads to.
	if err := os.Symlink("/tmp", filepath.Join(r.Path(), "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Open("link"); !errors.Is(err, ErrNotExist) {
		t.Errorf("open a link: %v", err)
	}
	if _, err := r.Create("link"); !errors.Is(err, ErrExist) {
		t.Errorf("create over a link: %v", err)
	}
	if ids, err := r.List(); err != nil || len(ids) != 1 {
		t.Errorf("list: %d, %v", len(ids), err)
	}
}

// TestRootTakesNone: where no directory can be made, Create fails.
func TestRootTakesNone(t *testing.T) {
	if _, err := Open("/proc/self/fd").Create("c"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("create: %v", err)
	}
}

// The lock is the new container's when the old one was removed while Lock waited.
func TestLockFollowsName(t *testing.T) {
	r := testRoot(t)
	first := mustCreate(t, r, "c")
	waiter := mustOpen(t, r, "c")
	locked := make(chan error)
	go func() { locked <- waiter.Lock(time.Minute) }()
	if err := first.Remove(); err != nil {
		t.Fatal(err)
	}
	second, err := r.Create("c")
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if err := second.Write(&Record{ID: "c", Pid: 2}); err != nil {
		t.Fatal(err)
	}
	// The waiter either saw that there was no container for a moment, or waits for the second lock.
	select {
	case err := <-locked:
		if !errors.Is(err, ErrNotExist) {
			t.Fatalf("lock beside the second container's creator: %v", err)
		}
		return
	default:
	}
	if err := second.Unlock(); err != nil {
		t.Fatal(err)
	}
	if err := <-locked; err != nil {
		if !errors.Is(err, ErrNotExist) {
			t.Fatal(err)
		}
		return
	}
	if ok, err := second.TryLock(); ok || err != nil {
		t.Errorf("two holders: %v, %v", ok, err)
	}
	if rec, err := waiter.Read(); err != nil || rec.Pid != 2 {
		t.Errorf("read under the lock: %+v, %v", rec, err)
	}
}

// A lock on a directory that was renamed away does not count.
func TestLockTakesNewFolder(t *testing.T) {
	r := testRoot(t)
	if err := mustCreate(t, r, "c").Close(); err != nil {
		t.Fatal(err)
	}
	old := mustOpen(t, r, "c")
	if err := os.Rename(old.Path(), old.Path()+"-old"); err != nil {
		t.Fatal(err)
	}
	fresh := mustCreate(t, r, "c")
	if ok, err := old.TryLock(); ok || err != nil {
		t.Fatalf("lock of the old directory passes for the new one's: %v, %v", ok, err)
	}
	if err := fresh.Unlock(); err != nil {
		t.Fatal(err)
	}
	if ok, err := old.TryLock(); !ok || err != nil {
		t.Fatalf("new directory not locked: %v, %v", ok, err)
	}
	if ok, err := fresh.TryLock(); ok || err != nil {
		t.Errorf("two holders: %v, %v", ok, err)
	}
}

// Who waits in vain for a lock or a creator is told who holds it up.
func TestLimits(t *testing.T) {
	r := testRoot(t)
	creator := mustCreate(t, r, "c")
	waiter := mustOpen(t, r, "c")
	name := fmt.Sprintf("held by process %d (%s", os.Getpid(), filepath.Base(os.Args[0]))
	err := waiter.Lock(time.Millisecond)
	var held *LockError
	if !errors.As(err, &held) || !strings.Contains(err.Error(), name) {
		t.Errorf("lock: %v, want %q", err, name)
	}
	if err := creator.Unlock(); err != nil {
		t.Fatal(err)
	}
	if err := waiter.Lock(time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if err := waiter.Doom(); err != nil {
		t.Fatal(err)
	}
	if !creator.Doomed() {
		t.Error("the creator does not see that the container is to be deleted")
	}
	if err := waiter.AwaitCreator(time.Millisecond); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("creator: %v, want %q", err, name)
	}
	_ = creator.Close()
	if err := waiter.AwaitCreator(time.Minute); err != nil {
		t.Error(err)
	}
	if err := waiter.Remove(); err != nil {
		t.Error(err)
	}
	if got := entries(t, r); len(got) != 0 {
		t.Errorf("left in the root: %v", got)
	}
}

// One of several that start a container does it, until it has done so or has ended.
func TestStart(t *testing.T) {
	r := testRoot(t)
	if err := mustCreate(t, r, "c").Close(); err != nil {
		t.Fatal(err)
	}
	a, b := mustOpen(t, r, "c"), mustOpen(t, r, "c")
	if ok, err := a.Start(); !ok || err != nil {
		t.Fatalf("first: %v, %v", ok, err)
	}
	if ok, err := b.Start(); ok || err != nil {
		t.Fatalf("second: %v, %v", ok, err)
	}
	if creating, err := b.Creating(); creating || err != nil {
		t.Errorf("being started passes for being created: %v, %v", creating, err)
	}
	_ = a.Close()
	if ok, err := b.Start(); !ok || err != nil {
		t.Fatalf("after the first: %v, %v", ok, err)
	}
}

// Who has begun something with a container does not get the lock of another one of its id.
func TestLockSame(t *testing.T) {
	r := testRoot(t)
	first := mustCreate(t, r, "c")
	starter := mustOpen(t, r, "c")
	if err := first.Remove(); err != nil {
		t.Fatal(err)
	}
	if err := starter.LockSame(time.Minute); !errors.Is(err, ErrNotExist) {
		t.Errorf("removed: %v", err)
	}
	if err := mustCreate(t, r, "c").Unlock(); err != nil {
		t.Fatal(err)
	}
	if err := starter.LockSame(time.Minute); !errors.Is(err, ErrNotExist) {
		t.Errorf("made anew: %v", err)
	}
}

// Of several creators of one id exactly one wins, and who loses leaves nothing.
func TestCreateRace(t *testing.T) {
	const rounds, creators = 1000, 4
	r := testRoot(t)
	for round := range rounds {
		id := fmt.Sprintf("c%d", round%3)
		var wins atomic.Int32
		var winner *Dir
		var done sync.WaitGroup
		begin := make(chan struct{})
		for range creators {
			done.Go(func() {
				<-begin
				d, err := r.Create(id)
				switch {
				case err == nil:
					wins.Add(1)
					winner = d
				case !errors.Is(err, ErrExist):
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		close(begin)
		done.Wait()
		if n := wins.Load(); n != 1 {
			t.Fatalf("round %d: %d winners", round, n)
		}
		if got := fmt.Sprint(entries(t, r)); got != "["+id+"]" {
			t.Fatalf("round %d: in the root: %s", round, got)
		}
		if round%2 == 0 {
			if err := winner.Write(&Record{ID: id}); err != nil {
				t.Fatal(err)
			}
		}
		if err := winner.Remove(); err != nil {
			t.Fatal(err)
		}
	}
}

// Creators, removers, readers and listers work on the same few ids at once: a lock never has a
// second holder, and a reader gets a whole record or an error that says why not.
func TestChurn(t *testing.T) {
	const rounds, ids = 1000, 2
	r := testRoot(t)
	if err := mustCreate(t, r, "other").Close(); err != nil {
		t.Fatal(err)
	}
	var holders [ids]atomic.Int32
	enter := func(i int) {
		if n := holders[i].Add(1); n != 1 {
			t.Errorf("%d holders of one lock", n)
		}
	}
	id := func(i int) string { return fmt.Sprintf("c%d", i) }
	annotations := map[string]string{"long": strings.Repeat("x", 10_000)}

	create := func(n int) {
		i := n % ids
		d, err := r.Create(id(i))
		if errors.Is(err, ErrExist) {
			return
		}
		if err != nil {
			t.Error(err)
			return
		}
		enter(i)
		for pid := range 3 {
			if err := d.Write(&Record{ID: id(i), Pid: pid, Annotations: annotations}); err != nil {
				t.Error(err)
			}
		}
		holders[i].Add(-1)
		_ = d.Close()
	}
	remove := func(n int) {
		i := n % ids
		d, err := r.Open(id(i))
		if err == nil {
			defer d.Close()
			err = d.Lock(time.Minute)
		}
		if errors.Is(err, ErrNotExist) {
			return
		}
		if err != nil {
			t.Error(err)
			return
		}
		enter(i)
		if _, err := d.Read(); err != nil {
			t.Errorf("read under lock: %v", err)
		}
		holders[i].Add(-1)
		if err := d.Remove(); err != nil {
			t.Error(err)
		}
	}
	read := func(n int) {
		d, err := r.Open(id(n % ids))
		if err == nil {
			defer d.Close()
			var rec *Record
			if rec, err = d.Read(); err == nil && len(rec.Annotations["long"]) != 10_000 {
				t.Error("half a record")
			}
		}
		if err != nil && !errors.Is(err, ErrNotExist) && !errors.Is(err, ErrNoRecord) {
			t.Error(err)
		}
	}
	list := func(int) {
		all, err := r.List()
		if err != nil {
			t.Error(err)
		}
		if len(all) == 0 || all[len(all)-1] != "other" {
			t.Errorf("list: %v", all)
		}
	}
	var done sync.WaitGroup
	for _, f := range []func(int){create, create, remove, remove, read, list} {
		done.Go(func() {
			for n := range rounds {
				f(n)
			}
		})
	}
	done.Wait()
	if _, err := r.List(); err != nil {
		t.Fatal(err)
	}
	for _, name := range entries(t, r) {
		if strings.HasPrefix(name, transit) {
			t.Errorf("left in the root: %s", name)
		}
	}
}
