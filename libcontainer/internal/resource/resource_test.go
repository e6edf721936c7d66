package resource

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/libcontainer/internal/notify"
	"github.com/orlop/orlop/libcontainer/internal/state"
	"github.com/orlop/orlop/specconv"
)

// A traced resource writes down what is done with it, and fails at one of these things.
type traced struct {
	name, failAt string
	log          *[]string
}

func (r traced) do(what string) error {
	*r.log = append(*r.log, what+" "+r.name)
	if what == r.failAt {
		return errors.New(what + " " + r.name + " failed")
	}
	return nil
}

func (r traced) Record(*state.Record) error { return r.do("record") }
func (r traced) Prepare() error             { return r.do("prepare") }
func (r traced) Undo() error                { return r.do("undo") }

// TestList: the first failure ends what makes, and none what undoes, which goes backwards.
func TestList(t *testing.T) {
	var log []string
	l := List{traced{"a", "", &log}, traced{"b", "prepare", &log}, traced{"c", "undo", &log}}
	if err := l.Record(nil); err != nil {
		t.Error(err)
	}
	if err := l.Prepare(); err == nil || err.Error() != "prepare b failed" {
		t.Errorf("prepare: %v", err)
	}
	if err := l.Undo(); err == nil || err.Error() != "undo c failed" {
		t.Errorf("undo: %v", err)
	}
	want := "record a, record b, record c, prepare a, prepare b, undo c, undo b, undo a"
	if got := strings.Join(log, ", "); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// TestNothing: what a configuration does not ask for is neither recorded nor made nor removed.
func TestNothing(t *testing.T) {
	b := &specconv.Bundle{Spec: &specs.Spec{}, Rootfs: "/nowhere"}
	e := &Entry{Rec: &state.Record{}}
	warn := func(text string) { t.Error(text) }
	l := List{NewNotifySocket(e, b, "", true, warn), NewHostMounts(e, b), NewResctrl(e, nil), NewNetDevices(e, b)}
	for name, err := range map[string]error{"record": l.Record(e.Rec), "prepare": l.Prepare(), "undo": l.Undo()} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, err := range map[string]error{"resctrl": RemoveResctrl(e.Rec), "mounts": RemoveHostMounts(e.Rec), "devices": ReturnNetDevices(e.Rec)} {
		if err != nil {
			t.Errorf("remove %s: %v", name, err)
		}
	}
	if files, release, err := OpenResctrl(e.Rec); len(files) > 0 || err != nil {
		t.Errorf("files %v, %v", files, err)
	} else {
		release()
	}
}

func TestNotifySocket(t *testing.T) {
	own := []string{notify.Variable + "=/own"}
	mount := []specconv.Namespace{{Type: specs.MountNamespace}}
	for _, tc := range []struct {
		name       string
		address    string
		process    *specs.Process
		namespaces []specconv.Namespace
		shared     bool
		warning    string
	}{
		{"shared", "/run/manager", &specs.Process{}, mount, true, ""},
		{"no manager", "", &specs.Process{}, mount, false, ""},
		{"no process", "/run/manager", nil, mount, false, ""},
		{"a way of its own", "/run/manager", &specs.Process{Env: own}, mount, false, ""},
		{"no mount namespace", "/run/manager", &specs.Process{}, nil, false, "without a mount namespace"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root := t.TempDir()
			e, warnings := &Entry{}, ""
			if err := e.Take(root, &state.Record{ID: "box"}); err != nil {
				t.Fatal(err)
			}
			defer e.Dir.Close()
			b := &specconv.Bundle{Spec: &specs.Spec{Process: tc.process}, Namespaces: tc.namespaces}
			n := NewNotifySocket(e, b, tc.address, true, func(text string) { warnings += text })
			share := n.Share(root, "box")
			if (share != nil) != tc.shared || !strings.Contains(warnings, tc.warning) || tc.warning == "" && warnings != "" {
				t.Fatalf("shared %+v, warnings %q", share, warnings)
			}
			if err := n.Prepare(); err != nil || (n.Ready != nil) != tc.shared {
				t.Fatalf("socket %v, %v", n.Ready, err)
			}
			if tc.shared {
				if info, err := os.Stat(filepath.Join(share.Source, filepath.Base(notify.Path))); err != nil || info.Mode().Type() != os.ModeSocket {
					t.Errorf("the socket: %v, %v", info, err)
				}
			}
			for range 2 {
				if err := n.Undo(); err != nil || n.Ready != nil {
					t.Errorf("undo: %v", err)
				}
			}
			if err := e.Undo(); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(filepath.Join(root, "box")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the entry is left: %v", err)
			}
		})
	}
}

// TestEntry: of two creators of an id one has it.
func TestEntry(t *testing.T) {
	root := t.TempDir()
	var first, second Entry
	if err := first.Take(root, &state.Record{ID: "box"}); err != nil {
		t.Fatal(err)
	}
	defer first.Dir.Close()
	if err := second.Take(root, &state.Record{ID: "box"}); !errors.Is(err, state.ErrExist) || second.Dir != nil {
		t.Errorf("the second one: %v, %v", second.Dir, err)
	}
	if err := first.Write(); err != nil {
		t.Error(err)
	}
	if err := first.Listen(); err != nil {
		t.Error(err)
	}
	if waiter, err := first.Dir.Probe(); waiter != state.WaiterHere || err != nil {
		t.Errorf("at the start socket: %v, %v", waiter, err)
	}
	first.Release()
	if waiter, err := first.Dir.Probe(); waiter != state.WaiterGone || err != nil {
		t.Errorf("at the released start socket: %v, %v", waiter, err)
	}
}

func TestKeyringName(t *testing.T) {
	a, err := NewKeyringName("box")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := NewKeyringName("box"); err != nil || a == b || !strings.HasPrefix(a, "_ses.box.") || len(a) != len("_ses.box.")+32 {
		t.Errorf("%q and %q, %v", a, b, err)
	}
}
