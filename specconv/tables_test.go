package specconv

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/golden"
)

func TestParseSignal(t *testing.T) {
	for s, want := range map[string]unix.Signal{
		"TERM": 15, "SIGTERM": 15, "term": 15, "sigterm": 15, "SigTerm": 15, "15": 15, "1": 1, "64": 64, "KILL": 9, "9": 9,
		"RTMIN": 34, "SIGRTMIN+3": 37, "rtmin+30": 64, "RTMAX": 64, "RTMAX-1": 63, "RTMAX-30": 34, "CLD": 17, "IOT": 6, "POLL": 29,
	} {
		if got, err := ParseSignal(s); err != nil || got != want {
			t.Errorf("%s: %d, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "0", "-1", "+9", "65", "4294967305", "18446744073709551625", "SIG", "SIGSIGTERM", "TERM ", " 9", "NOPE", "0x9",
		"RTMIN-1", "RTMAX+1", "RTMIN+31", "RTMIN+", "RTMIN3", "RTMAX-31", "RTMIN+-1", "1.5"} {
		if got, err := ParseSignal(s); err == nil {
			t.Errorf("%q: %d", s, got)
		}
	}
	for _, row := range signals { // x/sys knows the same numbers
		if n := unix.SignalNum("SIG" + row.name); n != 0 && n != row.value {
			t.Errorf("%s: %d, not %d", row.name, row.value, n)
		}
	}
}

func TestValidateID(t *testing.T) {
	for _, id := range []string{"a", "A-b_c.1+2", "...", strings.Repeat("x", 255)} {
		if err := ValidateID(id); err != nil {
			t.Error(err)
		}
	}
	for _, id := range []string{"", ".", "..", "a/b", "../a", "a b", "a\n", "é", "a\x00", "a:b", strings.Repeat("x", 256)} {
		if err := ValidateID(id); !errors.Is(err, ErrInvalidID) || !strings.Contains(err.Error(), "invalid container ID format") {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestTables(t *testing.T) {
	if n, ok := CapabilityNumber("CAP_CHECKPOINT_RESTORE"); !ok || n != unix.CAP_CHECKPOINT_RESTORE {
		t.Error(n, ok)
	}
	if n, ok := CapabilityNumber("CAP_SYS_ADMIN"); !ok || n != unix.CAP_SYS_ADMIN {
		t.Error(n, ok)
	}
	if names := CapabilityNames(); len(names) != unix.CAP_LAST_CAP+1 {
		t.Error(len(names))
	}
	if n, ok := RlimitResource("RLIMIT_RTTIME"); !ok || n != 15 {
		t.Error(n, ok)
	}
	if names := RlimitNames(); len(names) != 16 {
		t.Error(names)
	}
	for _, k := range NamespaceKinds() {
		if f, ok := NamespaceFlag(k.Type); !ok || f != k.Flag {
			t.Error(k)
		}
		if _, err := os.Lstat("/proc/self/ns/" + k.Proc); err != nil {
			t.Logf("this kernel has no %s namespaces", k.Type)
		}
	}
	if _, ok := NamespaceFlag("mnt"); ok {
		t.Error("mnt is /proc's name")
	}
	sets, notes := ParseCapabilities(&specs.LinuxCapabilities{Bounding: []string{"CAP_KILL", "CAP_BPF"}, Permitted: []string{"CAP_KILL"},
		Inheritable: []string{"CAP_KILL"}, Ambient: []string{"CAP_KILL"}, Effective: []string{"CAP_CHOWN"}})
	if want := (CapabilitySets{Bounding: 1<<5 | 1<<39, Permitted: 1 << 5, Inheritable: 1 << 5, Ambient: 1 << 5}); sets != want || len(notes) != 1 {
		t.Error(sets, notes)
	}
}

func TestSysctlPath(t *testing.T) {
	for name, want := range map[string]string{
		"net.ipv4.ip_forward": "net/ipv4/ip_forward", "net/ipv4/ip_forward": "net/ipv4/ip_forward",
		"net.ipv4.conf.eth0/1.x": "net/ipv4/conf/eth0.1/x", "net/ipv4/conf/eth0.1/x": "net/ipv4/conf/eth0.1/x",
		"": "", ".": "", "net.": "", "net..x": "", "/net/x": "", "net/../x": "", "net.//.x": "",
	} {
		if got, ok := SysctlPath(name); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", name, got, ok)
		}
	}
}

func TestExampleGolden(t *testing.T) {
	golden.Check(t, "example.golden", string(exampleJSON(t))+"\n")
	s := Example()
	ToRootless(s, 1000, 100)
	text, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "rootless.golden", string(text)+"\n")
	if c := Example().Process.Capabilities; c.Inheritable != nil || c.Ambient != nil {
		t.Error("inheritable or ambient capabilities in the example")
	}
}

func TestHostID(t *testing.T) {
	list := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 5, Size: 1}, {ContainerID: 10, HostID: 4294967290, Size: 4}}
	for _, c := range []struct {
		id, want uint32
		ok       bool
	}{{0, 5, true}, {1, 0, false}, {9, 0, false}, {10, 4294967290, true}, {13, 4294967293, true}, {14, 0, false}} {
		if got, ok := HostID(list, c.id); got != c.want || ok != c.ok {
			t.Errorf("id %d: %d, %v, want %d, %v", c.id, got, ok, c.want, c.ok)
		}
	}
}
