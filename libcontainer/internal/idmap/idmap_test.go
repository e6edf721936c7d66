package idmap

import (
	"os"
	"reflect"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestNew(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it maps ids of others")
	}
	want := Map{
		UIDs: []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 1000}, {ContainerID: 2000, HostID: 300000, Size: 1}},
		GIDs: []specs.LinuxIDMapping{{ContainerID: 5, HostID: 200000, Size: 70000}},
	}
	ns, err := New(want)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	got, denied, err := OfFile(ns)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) || denied {
		t.Errorf("the namespace has the map %v, want %v", got, want)
	}
	own, err := os.Open("/proc/self/ns/uts")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	if owned, err := Owned(own, ns); err != nil || owned {
		t.Errorf("the caller's UTS namespace belongs to the new user namespace: %v, %v", owned, err)
	}
}

func TestLongMap(t *testing.T) {
	var m Map
	for i := range uint32(300) {
		m.UIDs = append(m.UIDs, specs.LinuxIDMapping{ContainerID: 1000000 + 2*i, HostID: 1000000 + 2*i, Size: 1})
	}
	m.GIDs = m.UIDs
	_, err := New(m)
	if err == nil || !strings.Contains(err.Error(), "uidMappings: the map's text has") {
		t.Errorf("a map that is too long: %v", err)
	}
}

func FuzzParseMap(f *testing.F) {
	f.Add("         0          0 4294967295\n")
	f.Add("0 100000 65536\n65536 1 1\n")
	f.Add("0 0\n")
	f.Fuzz(func(t *testing.T, data string) {
		list, err := parseMap(data)
		if err != nil {
			return
		}
		again, err := parseMap(text(list))
		if err != nil || !reflect.DeepEqual(list, again) {
			t.Errorf("%v became %v: %v", list, again, err)
		}
	})
}
