package setup

import (
	"slices"
	"strings"
	"testing"

	"github.com/orlop/orlop/specconv"
)

func TestMountData(t *testing.T) {
	for _, c := range []struct{ fstype, parameters, want string }{
		{"tmpfs", `size=1k|context=u:r:t:s0:c1,c2|rootcontext="u:r:t:s0"`, `size=1k,context="u:r:t:s0:c1,c2",rootcontext="u:r:t:s0"`},
		{"9p", "trans=virtio|a,b", "trans=virtio,a,b"},
		{"overlay", `lowerdir=/a:/b,c|upperdir=/u\,v`, `lowerdir=/a:/b\,c,upperdir=/u\,v`},
		{"overlay", `lowerdir=/a\:b\\,c\`, `lowerdir=/a\:b\\\,c\`},
	} {
		if got := mountData(c.fstype, strings.Split(c.parameters, "|")); got != c.want {
			t.Errorf("%s: got %s, want %s", c.parameters, got, c.want)
		}
	}
}

func TestSplitLayers(t *testing.T) {
	long := strings.Repeat("x", 200)
	fill := strings.Repeat(":/"+long, 30)
	for _, c := range []struct {
		options string
		want    []string // without the layers of fill
	}{
		{"lowerdir=/a:/b", []string{"lowerdir=/a:/b"}},
		{`index=off|lowerdir=/a\:b:/c\,d` + fill + "::/e::/f", []string{"index=off", "lowerdir+=/a:b", "lowerdir+=/c,d", "datadir+=/e", "datadir+=/f"}},
	} {
		m := specconv.Mount{Type: "overlay", Data: strings.Split(c.options, "|")}
		got := slices.DeleteFunc(slices.Clone(splitLayers(&m)), func(s string) bool { return s == "lowerdir+=/"+long })
		if !slices.Equal(got, c.want) {
			t.Errorf("%.40s: got %q, want %q", c.options, got, c.want)
		}
	}
	// No kernel accepts this.
	m := specconv.Mount{Type: "overlay", Data: []string{"lowerdir=/" + long + long + fill}}
	if got := splitLayers(&m); !slices.Equal(got, m.Data) {
		t.Errorf("a layer that is too long: got %.40q", got)
	}
}

// TestMountLabel: linux.mountLabel is passed by the option that the annotation names, and unsplit,
// because categories contain commas.
func TestMountLabel(t *testing.T) {
	for _, kind := range []string{"", "rootcontext"} {
		spec := specconv.Example()
		spec.Linux.MountLabel = "system_u:object_r:container_file_t:s0:c1,c2"
		want := "context"
		if kind != "" {
			spec.Annotations = map[string]string{specconv.MountContextType: kind}
			want = kind
		}
		p, err := Container(parse(t, marshal(t, spec)), Options{}, Facts{SELinux: true})
		if err != nil {
			t.Fatal(err)
		}
		labelled := 0
		for _, s := range p.Steps {
			m, ok := s.Action.(mountNew)
			if ok && slices.Contains(m.Data, want+"="+spec.Linux.MountLabel) {
				labelled++
			}
		}
		if labelled == 0 {
			t.Errorf("%q: no mount has the label", kind)
		}
		l := newLowering(p)
		l.configure(l.fd(), "tmpfs", []string{want + `="` + spec.Linux.MountLabel + `"`, "a=1,b"})
		var calls []string
		for _, op := range l.prog.Ops() {
			calls = append(calls, op.Name())
		}
		if !slices.Equal(calls, []string{"fsconfig", "fsconfig", "fsconfig"}) {
			t.Errorf("%q: a label with commas and two parameters in one take the calls %q", kind, calls)
		}
	}
}

// TestLongOptions: a long option of any filesystem goes to the kernel by mount(2), a short one by
// fsconfig(2).
func TestLongOptions(t *testing.T) {
	long := strings.Repeat("x", maxParameter+1)
	for fstype, option := range map[string]string{"9p": "aname=", "nfs4": "clientaddr=", "cifs": "password=", "ceph": "secret=", "fuse": "subtype=", "overlay": "lowerdir=/"} {
		for value, want := range map[string]string{long: "mount", "x": "fsconfig"} {
			m := mountNew{Mount: specconv.Mount{Type: fstype, Source: "s", Destination: "/mnt", Data: []string{"ro", option + value}}}
			l := newLowering(&Plan{})
			m.make(l, l.fd(), l.fd(), 0)
			count := map[string]int{}
			for _, op := range l.prog.Ops() {
				count[op.Name()]++
			}
			if by := map[bool]string{true: "mount", false: "fsconfig"}[count["mount"] > 0]; by != want {
				t.Errorf("%s, %d bytes: by %s, not %s", fstype, len(value), by, want)
			}
		}
	}
}
