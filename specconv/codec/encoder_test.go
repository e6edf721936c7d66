package codec

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestEncode: what is written is what encoding/json writes, on one line and indented, but for the
// way in which characters are escaped and the sections for other platforms.
func TestEncode(t *testing.T) {
	var full, empty specs.Spec
	n := 0
	fill(reflect.ValueOf(&full).Elem(), &n)
	full.Solaris, full.Windows, full.VM, full.ZOS, full.FreeBSD = nil, nil, nil, nil, nil
	empty.Linux = &specs.Linux{Resources: &specs.LinuxResources{Unified: map[string]string{}}}
	for name, spec := range map[string]*specs.Spec{"full": &full, "empty": &empty} {
		for _, indent := range []string{"", "  "} {
			e := Encoder{Indent: indent}
			EncodeSpec(&e, spec)
			want, err := json.Marshal(spec)
			if indent != "" {
				want, err = json.MarshalIndent(spec, "", indent)
			}
			if err != nil || string(e.Buf) != string(want) {
				t.Errorf("%s: %s\nwant %s, %v", name, e.Buf, want, err)
			}
		}
	}
	for _, state := range []specs.ContainerProcessState{{}, {Fds: []string{}}, {Fds: []string{"a"}, State: specs.State{Annotations: map[string]string{"b": "1", "a": "2"}}}} {
		e := Encoder{}
		EncodeContainerProcessState(&e, &state)
		if want, err := json.Marshal(state); err != nil || string(e.Buf) != string(want) {
			t.Errorf("%s, want %s, %v", e.Buf, want, err)
		}
	}
}

// TestAnyBytes: a string that is not UTF-8 comes back as it was only if both sides have AnyBytes.
func TestAnyBytes(t *testing.T) {
	text := "a\xff\x80é\xc3\ufffd\U0001f6a2\x7f\n"
	for _, anyBytes := range []bool{true, false} {
		e := Encoder{AnyBytes: anyBytes}
		EncodeText(&e, &text)
		if !json.Valid(e.Buf) {
			t.Errorf("not JSON: %s", e.Buf)
		}
		got := ""
		d := Decoder{AnyBytes: anyBytes}
		if err := Decode(&d, e.Buf, &got, DecodeText); err != nil || (got == text) != anyBytes {
			t.Errorf("%v: %q became %q, %v", anyBytes, text, got, err)
		}
	}
}

func FuzzAppendText(f *testing.F) {
	for _, s := range []string{"", "a", "\"\\/\n\t\r\b\x00\x1f\x7f", "é \u2028 \U0001f6a2", "\xff\xc3", "<&>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		if err := json.Unmarshal(AppendText(nil, s), &got); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		if want := strings.ToValidUTF8(s, "\ufffd"); got != want && got != string([]rune(s)) {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	})
}
