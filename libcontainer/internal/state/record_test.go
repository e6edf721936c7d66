package state

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// example is a record as long as Docker makes them.
func example(t testing.TB) *Record {
	t.Helper()
	id := strings.Repeat("0123456789abcdef", 4)
	r := &Record{
		ID: id, OCIVersion: "1.3.0", Status: specs.StateCreated, Pid: 4711, StartTime: 1 << 63,
		Bundle: "/run/containerd/io.containerd.runtime.v2.task/moby/" + id, Rootfs: "/var/lib/docker/over\nlay/\xff\"",
		Created: time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC), Owner: 1000, Terminal: true, FoundCgroups: []string{"", "cpu"},
		Annotations: map[string]string{"": "", "org.example": "a\nb \"c\" é \x00 \xfe", "end": "end\n"},
		CgroupPaths: map[string]string{}, Unit: "docker-" + id + ".scope", UnitBus: "system", RootMount: 1 << 63,
		RDTGroup: "/sys/fs/resctrl/" + id, RDTMonitor: "/sys/fs/resctrl/" + id + "/mon_groups/" + id, RDTOwned: true,
		Namespaces: []Namespace{
			{Type: specs.NetworkNamespace, Path: "/run/netns/a b", Inode: 4026531840}, {Type: specs.PIDNamespace},
		},
	}
	for _, c := range []string{"", "blkio", "cpu", "cpuset", "devices", "freezer", "memory", "name=systemd", "pids"} {
		r.CgroupPaths[c] = "/sys/fs/cgroup/" + c + "/docker/" + id
	}
	limit := 5
	r.Process = &specs.Process{
		Cwd: "/", Args: []string{"sh", "-c", "echo\n"},
		Env:          []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=x"},
		Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_CHOWN", "CAP_KILL"}},
	}
	r.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "/bin/true", Timeout: &limit}}}
	r.Seccomp = &Seccomp{Program: []byte("\x00\xff?>~ with = at the end"), Flags: 1 << 31, Notify: true,
		ListenerPath: "/run/\"agent\"\n", ListenerMetadata: "é\\"}
	r.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
	r.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0"}
	r.CgroupBefore = []byte(`{"files": [1, "a"]}`)
	r.MovedDevices = &MovedDevices{Namespace: 7, Devices: []byte(`[{"host":"eth0"}]`)}
	r.Remaining = []Operation{{Op: 3, Call: "execve", Title: `exec "sh"`, Field: "process.args"}, {Op: 4}}
	return r
}

func TestRecordRoundTrip(t *testing.T) {
	r := testRoot(t)
	for name, want := range map[string]*Record{"example": example(t), "empty": {ID: "x"}} {
		d := mustCreate(t, r, name)
		if err := d.Write(want); err != nil {
			t.Fatal(err)
		}
		got, err := d.Read()
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v\nwant %+v", name, got, want)
		}
	}
}

func TestRecordFaults(t *testing.T) {
	r := testRoot(t)
	d := mustCreate(t, r, "c")
	path := filepath.Join(d.Path(), recordName)
	check := func(content string, want error, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := d.Read()
		if !errors.Is(err, want) {
			t.Errorf("%.40q: %v", content, err)
		} else if !strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), path) {
			t.Errorf("%.40q: error says %q, not %q and the path", content, err, text)
		}
	}
	whole := string(example(t).format())
	for n := range len(whole) - 1 { // the last byte is a line feed
		check(whole[:n], ErrDamaged, "line 1")
	}
	check("orlop-record 1\nid \"x\"\nend\n", ErrDamaged, "older orlop")
	check(`{"version":3,"id":5,"later":{"a":1}}`, ErrVersion, "3, and this orlop knows 2")
	check(`{"id":"x"}`, ErrDamaged, "version: is required")
	check(`{"version":"2","id":"x"}`, ErrDamaged, "version: must be a number, not a string")
	check(`[]`, ErrDamaged, "damaged: must be an object")
	check(`{"version":2}`, ErrDamaged, "id: is required")
	check(`{"version":2,"id":"x","pid":1.5}`, ErrDamaged, "pid: must be a whole number")
	check(`{"version":2,"id":"x","process":{"args":7}}`, ErrDamaged, "process.args: must be an array")
	check(`{"version":2,"id":"x","seccomp":{"program":"?"}}`, ErrDamaged, "seccomp.program: must be base64")
	check(`{"version":2,"id":"x","created":"now"}`, ErrDamaged, "created: must be a time")
	check(`{"version":2,"id":"x","rdtOwned":true}`, ErrDamaged, "rdtGroup: is required")
	check(`{"version":2,"id":"x","rdtMonitor":"m"}`, ErrDamaged, "rdtGroup: is required")
	check(`{"version":2,"id":"x","unitBus":"user"}`, ErrDamaged, "unit: is required")
	// What a later program may add without a new version is passed over.
	if err := os.WriteFile(path, []byte(`{"version":2,"id":"x","later":{"a":1}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if rec, err := d.Read(); err != nil || rec.ID != "x" {
		t.Errorf("%+v, %v", rec, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Read(); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("directory as record: %v", err)
	}
	if err := d.Write(&Record{ID: "c"}); err == nil {
		t.Error("wrote over a directory")
	}
}

func TestLongRecord(t *testing.T) {
	r := testRoot(t)
	d := mustCreate(t, r, "c")
	for _, size := range []int{15 << 10, 16<<10 - 1, 16 << 10, 16<<10 + 1, 3 << 20} {
		want := &Record{ID: "c", Process: &specs.Process{Env: []string{strings.Repeat("x", size)}}}
		if err := d.Write(want); err != nil {
			t.Fatal(err)
		}
		got, err := d.Read()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(example(f).format())
	f.Add([]byte(`{"version":2,"id":"x"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parse(data)
		if err != nil {
			return
		}
		first := r.format()
		again, err := parse(first)
		if err != nil || string(again.format()) != string(first) {
			t.Errorf("%q\nfirst  %s\nsecond %+v, %v", data, first, again, err)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	data := example(b).format()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := parse(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFormat(b *testing.B) {
	r := example(b)
	for b.Loop() {
		r.format()
	}
}

// What encoding/json would take, without its first use.
func BenchmarkJSON(b *testing.B) {
	data := example(b).format()
	for b.Loop() {
		if err := json.Unmarshal(data, new(Record)); err != nil {
			b.Fatal(err)
		}
	}
}

func TestNamespaceOfRecord(t *testing.T) {
	r := &Record{Namespaces: []Namespace{{Type: specs.PIDNamespace}, {Type: specs.NetworkNamespace, Path: "/run/netns/a"}}}
	for _, tc := range []struct {
		t                 specs.LinuxNamespaceType
		has, owns, joined bool
	}{
		{specs.PIDNamespace, true, true, false}, {specs.NetworkNamespace, true, false, true}, {specs.MountNamespace, false, false, false},
	} {
		if _, has := r.Namespace(tc.t); has != tc.has || r.Owns(tc.t) != tc.owns || r.Joined(tc.t) != tc.joined {
			t.Errorf("%s: has %v, owns %v, joined %v", tc.t, has, r.Owns(tc.t), r.Joined(tc.t))
		}
	}
}
