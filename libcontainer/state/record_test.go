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
		Created: time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC), Owner: 1000, Terminal: true, SharedCgroup: true, FoundCgroups: []string{"", "cpu"},
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
	process := &specs.Process{
		Cwd: "/", Args: []string{"sh", "-c", "echo\n"},
		Env:          []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=x"},
		Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_CHOWN", "CAP_KILL"}},
	}
	hooks := &specs.Hooks{Poststop: []specs.Hook{{Path: "/bin/true", Timeout: &limit}}}
	if err := errors.Join(r.SetProcess(process), r.SetHooks(hooks)); err != nil {
		t.Fatal(err)
	}
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

func TestSections(t *testing.T) {
	r := example(t)
	p, err := r.Process()
	if err != nil || p.Args[2] != "echo\n" {
		t.Errorf("process: %+v, %v", p, err)
	}
	h, err := r.Hooks()
	if err != nil || *h.Poststop[0].Timeout != 5 {
		t.Errorf("hooks: %+v, %v", h, err)
	}
	p.Args = []string{"new"}
	if err := errors.Join(r.SetHooks(nil), r.SetProcess(p)); err != nil {
		t.Fatal(err)
	}
	if h, err := r.Hooks(); h != nil || err != nil {
		t.Errorf("no hooks: %+v, %v", h, err)
	}
	if p, err := r.Process(); err != nil || p.Args[0] != "new" {
		t.Errorf("second process: %+v, %v", p, err)
	}
	r.sections[0].data = `{"args":7}`
	if _, err := r.Process(); !errors.Is(err, ErrDamaged) {
		t.Errorf("damaged process: %v", err)
	}
	if err := r.SetLoans(&Loans{Namespace: 7, Devices: []byte(`[{"host":"eth0"}]`)}); err != nil {
		t.Fatal(err)
	}
	if r, err = parse(r.format()); err != nil {
		t.Fatal(err)
	}
	if l, err := r.Loans(); err != nil || l == nil || l.Namespace != 7 || string(l.Devices) != `[{"host":"eth0"}]` {
		t.Errorf("loans: %+v, %v", l, err)
	}
	if err := r.SetLoans(nil); err != nil {
		t.Fatal(err)
	}
	if l, err := r.Loans(); l != nil || err != nil {
		t.Errorf("no loans: %+v, %v", l, err)
	}
	// Keys of later programs survive.
	r, err = parse([]byte("orlop-record 1\nid \"x\"\nlater {\"a\": 1}\nend\n"))
	if err != nil || !strings.Contains(string(r.format()), "\nlater {\"a\": 1}\n") {
		t.Errorf("unknown section: %+v, %v", r, err)
	}
}

// checkPid writes the record's file and says which of its records Read takes.
func checkPid(t *testing.T, d *Dir, path, content string, want int) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if rec, err := d.Read(); err != nil || rec.Pid != want {
		t.Fatalf("%d bytes: %+v, %v", len(content), rec, err)
	}
}

// Many writes neither lose the last record nor let the file grow without end.
func TestManyWrites(t *testing.T) {
	d := mustCreate(t, testRoot(t), "c")
	for n := 1; n <= 300; n++ {
		rec := example(t)
		rec.Pid = n
		if err := d.Write(rec); err != nil {
			t.Fatal(err)
		}
		if got, err := d.Read(); err != nil || got.Pid != n {
			t.Fatalf("write %d: %+v, %v", n, got, err)
		}
		info, err := os.Stat(filepath.Join(d.Path(), recordName))
		if err != nil || info.Size() > 2*compactAt {
			t.Fatalf("write %d: %v, %v", n, info, err)
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
	for n := range len(whole) {
		check(whole[:n], ErrNoRecord, "record missing")
		later := example(t)
		later.Pid = 4711
		checkPid(t, d, path, whole+"\n"+string(later.format())[:n], example(t).Pid)
	}
	check("orlop-record 2\nwhatever", ErrVersion, "2, and this orlop knows those up to 1")
	check("orlop-record 0\nid \"x\"\nend\n", ErrDamaged, "version")
	check("orlop-record x\nend\n", ErrDamaged, "version")
	check("{}", ErrDamaged, "no record")
	check("orlop-record 1\nend\n", ErrDamaged, "no id")
	check("orlop-record 1\nid \"x\"\npid 1x\nend\n", ErrDamaged, "line 3")
	check("orlop-record 1\nid \"x\" \"y\"\nend\n", ErrDamaged, "more than")
	check("orlop-record 1\nid x\nend\n", ErrDamaged, "no string")
	check("orlop-record 1\nid \"x\"\ncgroup \"a\"\nend\n", ErrDamaged, "no string")
	check("orlop-record 1\nid \"x\"\nrdtOwned true\nend\n", ErrDamaged, "no group")
	check("orlop-record 1\nid \"x\"\nrdt \"\" \"m\"\nend\n", ErrDamaged, "no group")
	check("orlop-record 1\nid \"x\"\nunit \"user\" \"\"\nend\n", ErrDamaged, "without a name")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Read(); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("folder as record: %v", err)
	}
	if err := d.Write(&Record{ID: "c"}); err == nil {
		t.Error("wrote over a folder")
	}
}

func TestLongRecord(t *testing.T) {
	r := testRoot(t)
	d := mustCreate(t, r, "c")
	for _, size := range []int{15 << 10, 16<<10 - 1, 16 << 10, 16<<10 + 1, 3 << 20} {
		want := &Record{ID: "c"}
		if err := want.SetProcess(&specs.Process{Env: []string{strings.Repeat("x", size)}}); err != nil {
			t.Fatal(err)
		}
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
	f.Add([]byte("orlop-record 1\nid \"x\"\n\nend\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parse(data)
		if err != nil {
			return
		}
		decodeSections(r)
		again, err := parse(r.format())
		if err != nil || !reflect.DeepEqual(r, again) {
			t.Errorf("%q\nfirst  %+v\nsecond %+v, %v", data, r, again, err)
		}
	})
}

// decodeSections decodes what there is: to be damaged is an error.
func decodeSections(r *Record) {
	_, _ = r.Process()
	_, _ = r.Seccomp()
	_, _ = r.Hooks()
	_, _ = r.Linux()
	_, _ = r.Loans()
	_, _ = r.Remaining()
}

// FuzzLatest: whatever was written before, cut off or not, the record that was written last and whole is the one that counts.
func FuzzLatest(f *testing.F) {
	whole := example(f).format()
	f.Add(whole)
	f.Add(whole[:100])
	f.Add([]byte("orlop-record 1\nend\norlop-record 1\n"))
	f.Fuzz(func(t *testing.T, before []byte) {
		if found, err := latest(before); err == nil {
			_, _ = parse(found)
		}
		file := append(append(before[:len(before):len(before)], '\n'), whole...)
		if found, err := latest(file); err != nil || string(found) != string(whole) {
			t.Errorf("after %q: %v, %q", before, err, found)
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

func BenchmarkProcess(b *testing.B) {
	r := example(b)
	for b.Loop() {
		if _, err := r.Process(); err != nil {
			b.Fatal(err)
		}
	}
}

// The fields by JSON, to compare with: see the comment at the format.
func BenchmarkJSON(b *testing.B) {
	data, err := json.Marshal(example(b))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := json.Unmarshal(data, new(Record)); err != nil {
			b.Fatal(err)
		}
	}
}

// TestSeccompSection: what SetSeccomp writes is what Seccomp reads, for each of its members.
func TestSeccompSection(t *testing.T) {
	for _, want := range []*Seccomp{
		nil,
		{Program: []byte{1, 2, 3}},
		{Program: []byte("\x00\xff?>~ with = at the end"), Flags: 1 << 31, Notify: true, ListenerPath: "/run/\"agent\"\n", ListenerMetadata: "é\\"},
	} {
		var r Record
		r.SetSeccomp(&Seccomp{Program: []byte("another")})
		r.SetSeccomp(want)
		got, err := r.Seccomp()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
		for _, s := range r.sections {
			if strings.ContainsRune(s.data, '\n') {
				t.Errorf("more than one line: %q", s.data)
			}
		}
	}
}
