package specconv

import (
	"encoding/json"
	"errors"
	"os"
	"path"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/specconv/codec"
)

// Whatever the text is: no panic; what is taken here is JSON, and means to encoding/json the same.
func FuzzParse(f *testing.F) {
	docker, err := os.ReadFile("testdata/docker.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(docker)
	f.Add(exampleJSON(f))
	for _, s := range []string{"", "null", "[]", `{"ociVersion":"1.0.0","root":{"path":"r"}}`, `{"process":{"user":{"uid":-0}}}`,
		`{"hostname":"\ud83d\ude00\u0000"}`, `{"linux":{"namespaces":[{"type":"user"}],"uidMappings":[{"size":4294967295}]}}`,
		`{"mounts":[{"destination":"..","options":["rbind","idmap"]}],"x":[[[{}]]]}`, `{"a":1e999,"b":-0.5E+3}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d := codec.Decoder{Fault: func(string, string) {}}
		err := codec.Decode(&d, text, new(specs.Spec), codec.DecodeSpec)
		var syntax *codec.SyntaxError
		wrong := errors.As(err, &syntax)
		if valid := json.Valid(text) && utf8.Valid(text); !valid && !wrong {
			t.Fatal("not JSON, yet taken")
		} else if valid && wrong && syntax.Problem != "nested too deeply" {
			t.Fatalf("JSON, yet refused: %v", err)
		}
		if wrong && (syntax.Line < 1 || syntax.Column < 1) {
			t.Fatal(err)
		}
		b, err := Parse(text, "/b")
		if err != nil {
			_ = err.Error()
			return
		}
		if !path.IsAbs(b.Rootfs) || len(b.Mounts) != len(b.Spec.Mounts) {
			t.Fatalf("%+v", b)
		}
		again, err := json.Marshal(b.Spec)
		if err != nil {
			t.Fatal(err)
		}
		if b2, err := Parse(again, "/b"); err != nil || !reflect.DeepEqual(b.Mounts, b2.Mounts) {
			t.Fatalf("not the same after writing and reading: %v", err)
		}
	})
}

// What exec --process and update --resources take: an error, or something that is valid when written again.
func FuzzParseOther(f *testing.F) {
	for _, s := range []string{"", "null", "{}", `{"args":["sh"],"cwd":"/","user":{"uid":1}}`, `{"memory":{"limit":-1},"cpu":{"cpus":"0-1"},"pids":{}}`,
		`{"blockIO":{"weightDevice":[{"major":8}]},"hugepageLimits":[{"pageSize":"2MB"}],"unified":{"a":"b"}}`, `{"devices":[{"allow":true,"access":"rwm"}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if p, _, err := ParseProcess(text); err == nil {
			again, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := ParseProcess(again); err != nil {
				t.Errorf("%q became %q: %v", text, again, err)
			}
		}
		if r, _, err := ParseResources(text); err == nil {
			again, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := ParseResources(again); err != nil {
				t.Errorf("%q became %q: %v", text, again, err)
			}
		}
	})
}

// Whatever the options are: an attribute is not both set and cleared (but for the access time's field), a bind mount
// has no data, and no destination leaves the root.
func FuzzMountOptions(f *testing.F) {
	f.Add("/a", "tmpfs", "nosuid,noexec,mode=755")
	f.Add("../a/./b//", "none", "rbind,ro,rro,rrw,rw,noatime,atime,rstrictatime,ratime")
	f.Add("/proc/self", "bind", "bind,tmpcopyup,idmap,remount")
	f.Add("", "", strings.Join(MountOptionNames(), ","))
	f.Fuzz(func(t *testing.T, destination, kind, options string) {
		s := Example()
		c := checker{spec: s}
		m := c.mount("/b", 3, &specs.Mount{Destination: destination, Type: kind, Source: "src", Options: strings.Split(options, ",")})
		for _, x := range [][2]uint64{{m.AttrSet, m.AttrClear}, {m.RecAttrSet, m.RecAttrClear}} {
			if x[0]&x[1]&^unix.MOUNT_ATTR__ATIME != 0 {
				t.Errorf("set %#x, cleared %#x", x[0], x[1])
			}
			if x[0]&unix.MOUNT_ATTR__ATIME != 0 && x[1]&unix.MOUNT_ATTR__ATIME != unix.MOUNT_ATTR__ATIME {
				t.Errorf("set %#x without its field in %#x: mount_setattr(2) refuses that", x[0], x[1])
			}
		}
		if m.Bind && (len(m.Data) > 0 || len(m.SuperFlags) > 0 || m.Type != "bind" || !path.IsAbs(m.Source)) {
			t.Errorf("%+v", m)
		}
		if !path.IsAbs(m.Destination) || path.Clean(m.Destination) != m.Destination || dotdot(m.Destination) {
			t.Errorf("destination %q", m.Destination)
		}
	})
}
