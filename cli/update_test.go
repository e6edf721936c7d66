package cli

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestLimitFlags: each flag sets its own field, over the value of a file.
func TestLimitFlags(t *testing.T) {
	tested := map[string]bool{}
	for _, tt := range []struct{ flag, value, want string }{
		{"memory", "64m", `{"memory":{"limit":67108864}}`},
		{"memory", "-1", `{"memory":{"limit":-1}}`},
		{"memory-reservation", "4096", `{"memory":{"reservation":4096}}`},
		{"memory-swap", "1g", `{"memory":{"swap":1073741824}}`},
		{"kernel-memory", "1k", `{"memory":{"kernel":1024}}`},
		{"kernel-memory-tcp", "1k", `{"memory":{"kernelTCP":1024}}`},
		{"cpu-share", "1024", `{"cpu":{"shares":1024}}`},
		{"cpu-quota", "-1", `{"cpu":{"quota":-1}}`},
		{"cpu-period", "50000", `{"cpu":{"period":50000}}`},
		{"cpu-burst", "0", `{"cpu":{"burst":0}}`},
		{"cpu-rt-runtime", "950", `{"cpu":{"realtimeRuntime":950}}`},
		{"cpu-rt-period", "1000", `{"cpu":{"realtimePeriod":1000}}`},
		{"cpu-idle", "1", `{"cpu":{"idle":1}}`},
		{"cpuset-cpus", "0-1,3", `{"cpu":{"cpus":"0-1,3"}}`},
		{"cpuset-mems", "0", `{"cpu":{"mems":"0"}}`},
		{"blkio-weight", "500", `{"blockIO":{"weight":500}}`},
		{"pids-limit", "-1", `{"pids":{"limit":-1}}`},
		{"pids-limit", "0", `{"pids":{"limit":0}}`},
	} {
		r := new(specs.LinuxResources)
		for _, f := range limitFlags(r) {
			if f.name != tt.flag {
				continue
			}
			if err := f.set(tt.value); err != nil {
				t.Errorf("--%s %s: %v", tt.flag, tt.value, err)
			}
			tested[f.name] = true
		}
		if got := marshalSet(t, r); got != tt.want {
			t.Errorf("--%s %s: %s, want %s", tt.flag, tt.value, got, tt.want)
		}
	}
	for _, f := range limitFlags(new(specs.LinuxResources)) {
		if !tested[f.name] {
			t.Errorf("--%s is not in the table", f.name)
		}
	}
}

// marshalSet returns the resources as JSON, without empty sections.
func marshalSet(t *testing.T, r *specs.LinuxResources) string {
	t.Helper()
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]map[string]any{}
	if err := json.Unmarshal(data, &sections); err != nil {
		t.Fatal(err)
	}
	for name, fields := range sections {
		if len(fields) == 0 {
			delete(sections, name)
		}
	}
	// Numbers go through float64: those of the test are small.
	if data, err = json.Marshal(sections); err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{
		"0": 0, "1": 1, "-1": -1, "1b": 1, "1B": 1, "2k": 2 << 10, "2K": 2 << 10, "2kb": 2 << 10, "2KiB": 2 << 10, "2 kib": 2 << 10,
		"3m": 3 << 20, "3g": 3 << 30, "3t": 3 << 40, "3p": 3 << 50, "1.5g": 3 << 29, "0.5 MiB": 1 << 19, "1.9": 1,
		strconv.Itoa(math.MaxInt64): math.MaxInt64, "8191p": 8191 << 50,
	} {
		if got, ok := parseSize(s); !ok || got != want {
			t.Errorf("%q: %d, %v; want %d", s, got, ok, want)
		}
	}
	for _, s := range []string{"", "-", "-2", "-1k", "+1", "k", "b", "ib", "1ib", "1bb", "1kk", "1kbi", "1x", "1e3", "0x10", "1  k", "1.2.3", ".",
		"inf", "nan", "9223372036854775808", "8192p", "9000.5p", "99999999999999999999999", "1 k b"} {
		if got, ok := parseSize(s); ok {
			t.Errorf("%q: is %d", s, got)
		}
	}
}

func TestUpdateFailures(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for _, tt := range []struct {
		text string
		args []string
	}{
		{"update: takes the ID of a container", nil},
		{"container does not exist", []string{"absent"}},
		{"container does not exist", []string{"absent", "--memory", "-1", "--cpu-quota=-1"}},
		{`update: --memory "many": must be a size such as`, []string{"absent", "--memory", "many"}},
		{`update: --memory-swap "-2": must be a size`, []string{"absent", "--memory-swap=-2"}},
		{`update: --cpu-share "-1": must be a whole number from 0 to 18446744073709551615`, []string{"absent", "--cpu-share=-1"}},
		{`update: --blkio-weight "65536": must be a whole number from 0 to 65535`, []string{"absent", "--blkio-weight", "65536"}},
		{`update: --pids-limit "1k": must be a whole number`, []string{"absent", "--pids-limit", "1k"}},
		{"container does not exist", []string{"absent", "--l3-cache-schema", "L3:0=f"}},
		{"container does not exist", []string{"absent", "--mem-bw-schema", "MB:0=50"}},
		{"update: --resources: open /nonexistent: no such file", []string{"-r", "/nonexistent", "absent"}},
		{"standard input: empty", []string{"absent", "--resources", "-"}},
		{"syntax: line 1, column 2: 'x'", []string{"absent", "--resources", write("syntax", "{x}")}},
		{"faults: linux.resources.memory.limit: must be a number, not a string", []string{"absent", "--resources", write("faults", `{"memory":{"limit":"1g"}}`)}},
		{"linux.resources.cpu.idle: must be 0 or 1", []string{"absent", "--resources", write("idle", `{"cpu":{"idle":2}}`)}},
		{"linux.resources.unified[\"../x\"]: is not a name", []string{"absent", "--resources", write("unified", `{"unified":{"../x":"1"}}`)}},
	} {
		call(t, append([]string{"update"}, tt.args...)...).fails(t, 1, tt.text)
	}
	// What is unknown is ignored, as in config.json, with a word.
	r := call(t, "update", "--resources", write("unknown", `{"memori":{}}`), "absent")
	if !strings.Contains(r.stderr, "linux.resources.memori: unknown property, ignored") {
		t.Errorf("stderr %q", r.stderr)
	}
}
