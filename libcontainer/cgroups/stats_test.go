package cgroups

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orlop/orlop/tests/golden"
)

// fakeCgroup writes the files of testdata/stats/NAME.txt, which has
//
//	== DIRECTORY/FILE
//	CONTENT
//
// where DIRECTORY names v1's controllers, or "unified", and returns a manager of that.
func fakeCgroup(t testing.TB, content string) *Manager {
	t.Helper()
	dir, paths := t.TempDir(), map[string]string{}
	for part := range strings.SplitSeq("\n"+content, "\n== ") {
		name, text, _ := strings.Cut(part, "\n")
		directory, _, ok := strings.Cut(name, "/")
		if !ok {
			continue // before the first file
		}
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if directory == "unified" {
			paths[""] = filepath.Join(dir, directory)
			continue
		}
		for controller := range strings.SplitSeq(directory, ",") {
			paths[controller] = filepath.Join(dir, directory)
		}
	}
	if len(paths) == 0 {
		paths["memory"], paths[""] = dir+"/gone", dir+"/gone2"
	}
	return Load(Layout{}, paths)
}

// TestStatsGolden compares the JSON for directories like cgroups with files that a person has
// checked.
func TestStatsGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/stats/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test data: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s, err := fakeCgroup(t, string(content)).Stats()
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.MarshalIndent(s, "", "\t")
			if err != nil {
				t.Fatal(err)
			}
			golden.Check(t, "stats/"+strings.TrimSuffix(filepath.Base(file), ".txt")+".json", string(got)+"\n")
		})
	}
}

// TestStatsErrors: an error names a file that is not in the kernel's format.
func TestStatsErrors(t *testing.T) {
	for _, tt := range []struct{ file, content, want string }{
		{"memory/memory.usage_in_bytes", "much\n", `memory.usage_in_bytes: "much" is not a number`},
		{"memory/memory.stat", "cache\n", `memory.stat: line "cache": "" is not a number`},
		{"cpuacct/cpuacct.usage_all", "cpu system user\n0 1 2\n", `cpuacct.usage_all: heading "cpu system user"`},
		{"cpuacct/cpuacct.usage_all", "cpu user system\n0 1\n", `line "0 1": not three numbers`},
		{"cpuset/cpuset.cpus", "3-1\n", `cpuset.cpus: "3-1" is not a number or a range`},
		{"blkio/blkio.throttle.io_serviced", "8:0 Read many\n", `line "8:0 Read many": "many" is not a number`},
		{"blkio/blkio.throttle.io_serviced", "vda Read 1\n", `"vda" is not a device`},
		{"unified/io.stat", "8:0 rbytes=x\n", `line "8:0 rbytes=x": rbytes: "x" is not a number`},
		{"unified/memory.pressure", "some avg10=NaN\n", `line "some avg10=NaN": avg10: "NaN" is not a number`},
		{"unified/pids.max", "\n", `pids.max: "" is not a number`},
	} {
		_, err := fakeCgroup(t, "== "+tt.file+"\n"+tt.content).Stats()
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "read /") {
			t.Errorf("%s %q: error %v, want one with %q", tt.file, tt.content, err, tt.want)
		}
	}
}

func TestWorkingSet(t *testing.T) {
	for _, tt := range []struct {
		m    MemoryStats
		want uint64
	}{
		{MemoryStats{Usage: MemoryEntry{Usage: 100}}, 100},
		{MemoryStats{Usage: MemoryEntry{Usage: 100}, Raw: map[string]uint64{"inactive_file": 30}}, 70},
		{MemoryStats{Usage: MemoryEntry{Usage: 100}, Raw: map[string]uint64{"inactive_file": 30, "total_inactive_file": 40}}, 60},
		{MemoryStats{Usage: MemoryEntry{Usage: 100}, Raw: map[string]uint64{"inactive_file": 130}}, 0},
	} {
		if got := tt.m.WorkingSet(); got != tt.want {
			t.Errorf("%+v: %d, want %d", tt.m, got, tt.want)
		}
	}
}

func TestParseNumber(t *testing.T) {
	for s, want := range map[string]uint64{"0": 0, "12": 12, "max": math.MaxUint64, "-1": 0, "-9223372036854775808": 0, "18446744073709551615": math.MaxUint64} {
		if n, err := parseNumber(s); n != want || err != nil {
			t.Errorf("%q: %d, %v, want %d", s, n, err, want)
		}
	}
	for _, s := range []string{"", "-", "--1", "1 ", "0x1", "18446744073709551616", "max\n"} {
		if n, err := parseNumber(s); err == nil {
			t.Errorf("%q: %d, want an error", s, n)
		}
	}
}

// TestStatsOfHost reads a cgroup that the kernel made: the parsers know all of it.
func TestStatsOfHost(t *testing.T) {
	m := created(t, nil)
	pid := spawn(t, m, "/bin/sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exec sleep 1000")
	waitTest(t, "processor time", func() bool {
		s, err := m.Stats()
		if err != nil {
			t.Fatal(err)
		}
		return s.CPU.Usage.Total > 1e6
	})
	s, err := m.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if s.Pids.Current != 1 {
		t.Errorf("%d tasks, want 1", s.Pids.Current)
	}
	if f, _ := m.controllerDirectory("memory"); f != nil && m.version("memory") == v1 && (s.Memory.Usage.Usage == 0 || len(s.Memory.Raw) < 10) {
		t.Errorf("memory: %+v", s.Memory)
	}
	if u := s.CPU.Usage; u.Percpu != nil && u.PercpuUser != nil && len(u.PercpuUser) != len(u.Percpu) {
		t.Errorf("processors: %+v", u)
	}
	if err := m.Kill(9); err != nil {
		t.Fatal(err)
	}
	exitStatus(t, pid)
	if err := m.Delete(); err != nil {
		t.Fatal(err)
	}
	// A cgroup that is gone has no numbers.
	if s, err = m.Stats(); err != nil || s.CPU.Usage.Total != 0 || s.Memory.Raw != nil {
		t.Errorf("after delete: %+v, %v", s, err)
	}
}

// FuzzStats gives any text to the parsers: they return an error, or numbers that JSON can encode
// and decode unchanged.
func FuzzStats(f *testing.F) {
	files, err := filepath.Glob("testdata/stats/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for part := range strings.SplitSeq(string(content), "\n== ") {
			_, text, _ := strings.Cut(part, "\n")
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		raw := map[string]uint64{}
		flatErr := parseFlat(text, func(key string, n uint64) { raw[key] = n })
		if flatErr == nil && len(raw) > strings.Count(text, "\n")+1 {
			t.Errorf("more keys than lines: %v", raw)
		}
		list, err := parseList(text)
		if err == nil && len(list) > 1<<16 {
			t.Errorf("a list of %d", len(list))
		}
		user, kernel, err := parseUsageAll(text)
		if err == nil && len(user) != len(kernel) {
			t.Errorf("%d and %d processors", len(user), len(kernel))
		}
		entries, err := parseBlkio(text)
		if err == nil && len(entries) > strings.Count(text, "\n")+1 {
			t.Errorf("more entries than lines: %v", entries)
		}
		var b BlockIOStats
		parseIOStat(text, &b)
		psi, err := parsePressure(text)
		if err != nil {
			psi = nil
		}
		s := Stats{CPU: CPUStats{Usage: CPUUsage{PercpuUser: user}, PSI: psi}, Memory: MemoryStats{Raw: raw}, BlockIO: b,
			CPUSet: CPUSetStats{CPUs: list}}
		if _, err := json.Marshal(s); err != nil {
			t.Errorf("JSON: %v", err)
		}
	})
}
