package systemd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/orlop/orlop/tests/golden"
)

// TestLimitProperties: testdata/NAME.limits has lines "FILE VALUE".
func TestLimitProperties(t *testing.T) {
	inputs, err := filepath.Glob("testdata/*.limits")
	if err != nil || len(inputs) == 0 {
		t.Fatal("no inputs", err)
	}
	for _, input := range inputs {
		data, err := os.ReadFile(input)
		if err != nil {
			t.Fatal(err)
		}
		var limits []Limit
		for line := range strings.Lines(string(data)) {
			file, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			limits = append(limits, Limit{file, value})
		}
		golden.Check(t, strings.TrimSuffix(filepath.Base(input), ".limits")+".golden", describe(LimitProperties(limits)))
	}
}

func TestBaseProperties(t *testing.T) {
	var b strings.Builder
	for _, u := range []Unit{{Name: "a-b.scope", Slice: "a.slice"}, {Name: "a-b.slice"}} {
		for _, unified := range []bool{true, false} {
			b.WriteString("-- " + u.Name + map[bool]string{true: ", cgroup2 only", false: ", with v1"}[unified] + "\n")
			b.WriteString(describe(BaseProperties(u, "orlop container x", 4711, unified)))
		}
	}
	golden.Check(t, "base.golden", b.String())
}

func describe(list []Property) string {
	var b strings.Builder
	for _, p := range list {
		b.WriteString(p.Name + " = " + show(p.Value))
		if p.Optional {
			b.WriteString(" optional")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestAnnotationProperties(t *testing.T) {
	for _, c := range []struct{ key, value, want string }{
		{"org.systemd.property.TimeoutStopSec", "3", "TimeoutStopUSec = t 3000000"},
		{"org.systemd.property.TimeoutStopSec", "1.5", "TimeoutStopUSec = t 1500000"},
		{"org.systemd.property.TimeoutStopSec", "uint64 1", "TimeoutStopUSec = t 1000000"},
		{"org.systemd.property.TimeoutStopSec", "-1", `annotations["org.systemd.property.TimeoutStopSec"]: it is not a number of seconds`},
		{"org.systemd.property.TimeoutStopSec", "'1min'", `annotations["org.systemd.property.TimeoutStopSec"]: it is not a number of seconds`},
		{"org.systemd.property.TimeoutStopSec", "uint64 18446744073709551615", `annotations["org.systemd.property.TimeoutStopSec"]: it is not a number of seconds`},
		{"org.systemd.property.TimeoutStopUSec", "uint64 5", "TimeoutStopUSec = t 5"},
		{"org.systemd.property.CollectMode", "'inactive'", `CollectMode = s "inactive"`},
		{"org.systemd.property.Delegate", "false", "Delegate = b false"},
		{"org.systemd.property.After", "['a.service', 'b.service']", `After = as ["a.service", "b.service"]`},
		{"org.systemd.property.DeviceAllow", "[('/dev/kvm', 'rw')]", `DeviceAllow = a(ss) [["/dev/kvm", "rw"]]`},
		{"org.systemd.property.Bad Name", "1", `annotations["org.systemd.property.Bad Name"]: "Bad Name" is not a property name`},
		{"org.systemd.property.", "1", `annotations["org.systemd.property."]: "" is not a property name`},
		{"org.systemd.property.Sec", "1", "Sec = i 1"},
		{"org.systemd.property.Slice", "x", `annotations["org.systemd.property.Slice"]: "x" is neither a value nor a type`},
		{"org.example", "whatever", ""},
	} {
		list, err := AnnotationProperties(map[string]string{c.key: c.value})
		got := strings.TrimSuffix(describe(list), "\n")
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s=%s:\ngot  %s\nwant %s", c.key, c.value, got, c.want)
		}
	}
}

func TestMerge(t *testing.T) {
	list := []Property{{Name: "A", Value: dbus.MakeVariant(true)}, {Name: "B", Value: dbus.MakeVariant("b")}}
	merged := describe(Merge(list, []Property{{Name: "A", Value: dbus.MakeVariant(false)}, {Name: "C", Value: dbus.MakeVariant(uint64(3))}}))
	if want := "B = s \"b\"\nA = b false\nC = t 3\n"; merged != want {
		t.Errorf("got\n%swant\n%s", merged, want)
	}
	if got := describe(list); got != "A = b true\nB = s \"b\"\n" {
		t.Errorf("the first list is now\n%s", got)
	}
}
