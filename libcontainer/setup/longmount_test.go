package setup

import (
	"slices"
	"strings"
	"testing"

	"github.com/orlop/orlop/specconv"
)

func TestMountData(t *testing.T) {
	for _, c := range []struct{ fstype, parameters, want string }{
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
	m := specconv.Mount{Type: "overlay", Data: []string{"lowerdir=/" + long + long + fill}} // which no kernel takes
	if got := splitLayers(&m); !slices.Equal(got, m.Data) {
		t.Errorf("a layer that is too long: got %.40q", got)
	}
}
