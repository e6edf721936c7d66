package cgroups

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// fakeDevices behaves like the kernel's v1 devices cgroup on writes: exceptions are found by
// exactly the same device.
type fakeDevices struct{ deviceList }

func (k *fakeDevices) write(t *testing.T, s setting) {
	t.Helper()
	allow := s.file == "devices.allow"
	if s.value == "a" {
		k.deviceList = deviceList{allow: allow}
		return
	}
	r, err := parseListed(s.value)
	if err != nil {
		t.Fatalf("write %q: %v", s.value, err)
	}
	i := slices.IndexFunc(k.exceptions, func(e deviceRule) bool { return e.device == r.device })
	switch {
	case allow == k.allow:
		if i >= 0 {
			if k.exceptions[i].access &^= r.access; k.exceptions[i].access == 0 {
				k.exceptions = slices.Delete(k.exceptions, i, i+1)
			}
		}
	case i >= 0:
		k.exceptions[i].access |= r.access
	default:
		k.exceptions = append(k.exceptions, r)
	}
}

// text returns what devices.list shows, sorted.
func (l *deviceList) text() string {
	if l.allow {
		return "a *:* rwm\n"
	}
	var lines []string
	for _, e := range l.exceptions {
		lines = append(lines, e.device.String()+" "+e.access.String()+"\n")
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func deviceListOf(t *testing.T, rules string) deviceList {
	t.Helper()
	parsed, err := deviceRules(parseDevices(t, rules))
	if err != nil {
		t.Fatal(err)
	}
	list, err := newDeviceList(parsed)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestDeviceListChange(t *testing.T) {
	for _, tt := range []struct{ now, next, want string }{
		{"", "", ""},
		{"", "allow c 1:11 r", "allow c 1:11 r"},
		{"allow c 1:11 rw", "allow c 1:11 r", "deny c 1:11 w"},
		{"allow c 1:11 r; allow b 8:0 rw", "allow c 1:11 w", "allow c 1:11 w, deny b 8:0 rw, deny c 1:11 r"},
		{"allow c 1:11 r", "allow c 1:* r", "allow c 1:* r, deny c 1:11 r"},
	} {
		now, next := deviceListOf(t, tt.now), deviceListOf(t, tt.next)
		shown, err := parseDeviceList(now.text())
		if err != nil {
			t.Fatal(err)
		}
		writes := next.change(shown)
		if got := deviceWrites(writes); got != tt.want {
			t.Errorf("from %q to %q:\ngot  %s\nwant %s", tt.now, tt.next, got, tt.want)
		}
		checkChange(t, now, next, writes)
	}
}

// checkChange simulates writes and checks that a device allowed by both lists is never missing, and
// one allowed by neither is never present.
func checkChange(t *testing.T, now, next deviceList, writes []setting) {
	t.Helper()
	k := fakeDevices{deviceList{allow: now.allow, exceptions: slices.Clone(now.exceptions)}}
	for _, w := range writes {
		k.write(t, w)
		for _, e := range slices.Concat(now.exceptions, next.exceptions, k.exceptions) {
			a, b, got := now.access(e.device), next.access(e.device), k.access(e.device)
			if got&a&b != a&b || got&^(a|b) != 0 {
				t.Errorf("after %s %s: %s has %q, first %q, last %q", w.file, w.value, e.device, got, a, b)
			}
		}
	}
	if k.text() != next.text() {
		t.Errorf("came to\n%snot\n%s", k.text(), next.text())
	}
}

func TestParseDeviceList(t *testing.T) {
	for _, bad := range []string{"x", "c", "c 1:3", "c 1 rwm", "d 1:3 rwm", "c 1:x rwm", "c -1:3 rwm", "c 1:4294967296 r", "c 1:3 rwx", "c 1:3 ", "cc 1:3 r"} {
		if _, err := parseDeviceList("c 1:3 rwm\n" + bad + "\n"); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%q: error %v", bad, err)
		}
	}
}

// TestUpdateDevicesLive changes rules while a process repeatedly opens a device that all of them
// allow, and one that not all do.
func TestUpdateDevicesLive(t *testing.T) {
	m := created(t, nil)
	if f, _ := m.controllerDirectory("devices"); f == nil {
		t.Skip("nothing here can guard devices")
	}
	live := Load(Layout{}, m.Paths())
	pid := spawn(t, m, "/bin/sh", "-c", "while : </dev/null; do :; done")
	kmsg := func(operation string) bool {
		return exitStatus(t, spawn(t, live, "/bin/sh", "-c", ": "+operation+"/dev/kmsg")) == 0
	}
	for _, step := range []struct {
		rules       string
		read, write bool
	}{
		{"deny a", false, false},
		{"allow c 1:11 r", true, false},
		{"allow c 1:11 w", false, true},
		{"allow a", true, true},
		{"allow a; deny c 1:11 w", true, false},
		{"allow a; deny c 1:11 r", false, true},
		{"allow c 1:* rw", true, true},
		{docker, false, false},
	} {
		if err := live.Update(parseDevices(t, step.rules)); err != nil {
			t.Fatalf("%q: %v", step.rules, err)
		}
		if r, w := kmsg("<"), kmsg(">"); r != step.read || w != step.write {
			t.Errorf("%q: kmsg read %v, written %v", step.rules, r, w)
		}
		if frozen, err := live.Frozen(); frozen || err != nil {
			t.Errorf("%q: frozen %v, %v", step.rules, frozen, err)
		}
	}
	if err := live.Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := live.Update(parseDevices(t, "allow a; deny c 1:11 w")); err != nil {
		t.Errorf("frozen: %v", err)
	}
	if frozen, err := live.Frozen(); !frozen || err != nil {
		t.Errorf("an update thawed the cgroup: %v, %v", frozen, err)
	}
	if err := live.Thaw(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(pid, unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := exitStatus(t, pid); got != 128+15 {
		t.Errorf("the process ended with %d: it missed /dev/null at some moment", got)
	}
}
