package specconv

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestEncodeProcess: a process with every member comes back whole, and so does one with none.
func TestEncodeProcess(t *testing.T) {
	var full, empty specs.Process
	n := 0
	fill(reflect.ValueOf(&full).Elem(), &n)
	for name, p := range map[string]*specs.Process{"full": &full, "empty": &empty, "example": Example().Process} {
		data, err := EncodeProcess(p)
		if err != nil {
			t.Fatal(err)
		}
		if strings.ContainsRune(string(data), '\n') {
			t.Errorf("%s: more than one line: %s", name, data)
		}
		got, err := DecodeProcess(data)
		if err != nil || !reflect.DeepEqual(got, p) {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, p)
		}
		want, err := json.Marshal(p)
		if err != nil || string(data) != string(want) {
			t.Errorf("%s: %s, want %s, %v", name, data, want, err)
		}
	}
	for _, bad := range []string{"", "{", "[]", `{"cwd":1}`} {
		if p, err := DecodeProcess([]byte(bad)); err == nil {
			t.Errorf("%q: %+v", bad, p)
		}
	}
}

func FuzzAppendJSON(f *testing.F) {
	for _, s := range []string{"", "a", "\"\\/\n\t\r\b\x00\x1f\x7f", "é \u2028 \U0001f6a2", "\xff\xc3", "<&>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		if err := json.Unmarshal(AppendJSON(nil, s), &got); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		if want := strings.ToValidUTF8(s, "\ufffd"); got != want && got != string([]rune(s)) {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	})
}
