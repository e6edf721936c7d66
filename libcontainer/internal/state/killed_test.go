package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Whatever a creator or remover was at when it was killed can be told and removed.
func TestKilled(t *testing.T) {
	whole := string((&Record{ID: "c", Status: specs.StateCreating}).format())
	tests := map[string]struct {
		files map[string]string
		want  error // of Read
	}{
		"after the directory": {nil, ErrNoRecord},
		"in the first record": {map[string]string{newName: whole[:20]}, ErrNoRecord},
		"after the socket":    {map[string]string{socketName: ""}, ErrNoRecord},
		"after the record":    {map[string]string{recordName: whole}, nil},
		"in a later record":   {map[string]string{recordName: whole, newName: whole[:9]}, nil},
		"before the rename":   {map[string]string{recordName: whole, newName: whole + "x"}, nil},
		"with more in it":     {map[string]string{recordName: whole, "work/a/b": "x"}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := testRoot(t)
			for file, content := range test.files {
				path := filepath.Join(r.Path(), "c", file)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.MkdirAll(filepath.Join(r.Path(), "c"), 0o700); err != nil {
				t.Fatal(err)
			}
			if ids, err := r.List(); err != nil || fmt.Sprint(ids) != "[c]" {
				t.Errorf("list: %v, %v", ids, err)
			}
			if _, err := r.Create("c"); !errors.Is(err, ErrExist) {
				t.Errorf("create: %v", err)
			}
			d := mustOpen(t, r, "c")
			if _, err := d.Read(); !errors.Is(err, test.want) {
				t.Errorf("read: %v", err)
			}
			if err := d.Lock(time.Minute); err != nil {
				t.Fatal(err)
			}
			// A killed writer does not hinder the next one.
			if test.want == nil {
				if err := d.Write(&Record{ID: "c", Pid: 5}); err != nil {
					t.Error(err)
				}
				if rec, err := d.Read(); err != nil || rec.Pid != 5 {
					t.Errorf("read after write: %+v, %v", rec, err)
				}
			}
			if err := d.Remove(); err != nil {
				t.Error(err)
			}
			if got := entries(t, r); len(got) != 0 {
				t.Errorf("left in the root: %v", got)
			}
			mustCreate(t, r, "c")
		})
	}
}

// What lies under a transit name is swept, unless its owner is at work on it.
func TestSweep(t *testing.T) {
	r := testRoot(t)
	if err := os.MkdirAll(filepath.Join(r.Path(), "~dead", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(r.Path(), "~live"), 0o700); err != nil {
		t.Fatal(err)
	}
	live, err := openDir(r, "~live", filepath.Join(r.Path(), "~live"))
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	if err := live.Lock(time.Minute); err != nil {
		t.Fatal(err)
	}
	r.Sweep()
	if got := fmt.Sprint(entries(t, r)); got != "[~live]" {
		t.Errorf("in the root after Sweep: %s", got)
	}
	if err := os.Mkdir(filepath.Join(r.Path(), "~dead"), 0o700); err != nil {
		t.Fatal(err)
	}
	if ids, err := r.List(); len(ids) != 0 || err != nil {
		t.Errorf("list: %v, %v", ids, err)
	}
	if got := fmt.Sprint(entries(t, r)); got != "[~live]" {
		t.Errorf("in the root after List: %s", got)
	}
}

// Creating tells of a creator at work, and of nobody else who holds the lock.
func TestCreating(t *testing.T) {
	r := testRoot(t)
	d := mustCreate(t, r, "c")
	other := mustOpen(t, r, "c")
	check := func(when string, want bool) {
		t.Helper()
		if got, err := other.Creating(); got != want || err != nil {
			t.Errorf("%s: %v, %v", when, got, err)
		}
	}
	check("at work", true)
	if err := d.Unlock(); err != nil {
		t.Fatal(err)
	}
	check("unlocked", true)
	if ok, err := other.TryLock(); !ok || err != nil {
		t.Errorf("lock beside a creator that has released it: %v, %v", ok, err)
	}
	check("locked by another", true)
	if err := d.Created(); err != nil {
		t.Fatal(err)
	}
	check("created", false)

	d = mustCreate(t, r, "d")
	other = mustOpen(t, r, "d")
	check("at work", true)
	if err := d.Close(); err != nil { // as its death does
		t.Fatal(err)
	}
	check("gone", false)
}

// TestForeign: another runtime's directory is not mistaken for what a killed creator left.
func TestForeign(t *testing.T) {
	for _, file := range []string{"state.json", "status", "exec.fifo"} {
		r := testRoot(t)
		dir := filepath.Join(r.Path(), "c")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := mustOpen(t, r, "c").Read(); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestForeignRemoved: a directory that is removed while Read looks at it is not foreign.
func TestForeignRemoved(t *testing.T) {
	r := testRoot(t)
	dir := filepath.Join(r.Path(), "c")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d := mustOpen(t, r, "c")
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := d.foreign(); err != nil {
		t.Errorf("foreign: %v", err)
	}
	if _, err := d.Read(); !errors.Is(err, ErrNotExist) {
		t.Errorf("read: %v", err)
	}
}
