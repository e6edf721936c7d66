package cgroups

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// For any resources, there is no panic, and each setting stays in the cgroup's directory, is one
// line, and names its field.
func FuzzSettings(f *testing.F) {
	inputs, err := filepath.Glob("testdata/settings/*.json")
	if err != nil || len(inputs) == 0 {
		f.Fatal("no inputs", err)
	}
	for _, input := range inputs {
		text, err := os.ReadFile(input)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, true, true)
		f.Add(text, false, false)
	}
	f.Fuzz(func(t *testing.T, text []byte, onV2, live bool) {
		var r specs.LinuxResources
		if json.Unmarshal(text, &r) != nil {
			return
		}
		at := v1
		if onV2 {
			at = v2
		}
		list, _ := settings(&r, func(string) version { return at }, live)
		for _, s := range list {
			for _, file := range []string{s.file, s.otherFile} {
				if strings.ContainsAny(file, "/\x00") || file == "." || file == ".." {
					t.Errorf("file %q", file)
				}
			}
			// specconv checks lists of processors.
			if strings.Contains(s.value, "\n") && s.value != "\n" && r.CPU == nil {
				t.Errorf("%s: value %q", s.file, s.value)
			}
			if s.value == "" && r.CPU == nil || s.controller == "" || s.file == "" || !strings.HasPrefix(s.field, "linux.resources.") {
				t.Errorf("%+v", s)
			}
		}
	})
}

// fuzzRules makes rules of bytes, four for each.
func fuzzRules(b []byte) []deviceRule {
	rules, err := deviceRules(nil)
	if err != nil {
		panic(err)
	}
	// only a few numbers, so that rules overlap
	number := func(b byte) int64 { return int64(b%5) - 1 }
	for ; len(b) >= 4; b = b[4:] {
		rules = append(rules, deviceRule{allow: b[0]&1 == 1, device: device{"abc"[b[0]/2%3], number(b[1]), number(b[2])}, access: 1 + access(b[3])%mayAll})
	}
	return rules
}

// The program has the meaning of the rules.
func FuzzDeviceProgram(f *testing.F) {
	f.Add([]byte{1, 0, 0, 7, 2, 1, 2, 3, 5, 0, 4, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		rules := fuzzRules(b)
		p := deviceProgram(rules)
		for _, kind := range []byte{'b', 'c'} {
			for a := access(1); a <= mayAll; a++ {
				for major := int64(0); major < 4; major++ {
					for minor := int64(0); minor < 4; minor++ {
						if got, want := runProgram(t, p, kind, a, major, minor), decide(rules, kind, a, major, minor); got != want {
							t.Fatalf("%+v: %c %d:%d %s: %v, want %v\n%s", rules, kind, major, minor, a, got, want, mnemonics(p))
						}
					}
				}
			}
		}
	})
}

// A list that v1 can express has the same meaning there, operation by operation, and one list
// becomes another without a gap.
func FuzzDeviceList(f *testing.F) {
	f.Add([]byte{1, 0, 0, 7, 2, 1, 2, 3, 5, 0, 4, 1}, []byte{5, 2, 2, 7})
	f.Fuzz(func(t *testing.T, b1, b2 []byte) {
		rules := fuzzRules(b1)
		now, err1 := newDeviceList(slices.Clone(rules))
		next, err2 := newDeviceList(fuzzRules(b2))
		if err1 != nil || err2 != nil {
			return
		}
		var k fakeDevices
		for _, w := range now.fill() {
			k.write(t, w)
		}
		if k.text() != now.text() {
			t.Errorf("fill came to\n%snot\n%s", k.text(), now.text())
		}
		for _, kind := range []byte{'b', 'c'} {
			for a := mayMknod; a <= mayWrite; a <<= 1 {
				for major := int64(0); major < 4; major++ {
					for minor := int64(0); minor < 4; minor++ {
						excepted := slices.ContainsFunc(k.exceptions, func(e deviceRule) bool {
							return e.covers(device{kind, major, minor}) && e.access&a != 0
						})
						if got, want := excepted != k.allow, decide(rules, kind, a, major, minor); got != want {
							t.Fatalf("%+v: %c %d:%d %s: %v, want %v", rules, kind, major, minor, a, got, want)
						}
					}
				}
			}
		}
		shown, err := parseDeviceList(now.text())
		if err != nil || shown.text() != now.text() {
			t.Fatalf("%q is read as %q: %v", now.text(), shown.text(), err)
		}
		if !now.allow && !next.allow {
			checkChange(t, now, next, next.change(shown))
		}
	})
}

// For any content of devices.list, there is no panic, and an accepted list is reproduced.
func FuzzParseDeviceList(f *testing.F) {
	f.Add("c 1:3 rwm\nb *:* m\n")
	f.Add("a *:* rwm\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parseDeviceList(text)
		if err != nil {
			return
		}
		again, err := parseDeviceList(list.text())
		if err != nil || again.text() != list.text() {
			t.Errorf("%q is read as %q, that as %q, %v", text, list.text(), again.text(), err)
		}
	})
}
