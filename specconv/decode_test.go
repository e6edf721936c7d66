package specconv

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// fill sets every field below v to something other than its zero value.
func fill(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.Struct:
		for i := 0; i < v.NumField(); i++ {
			fill(v.Field(i), n)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, n)
		fill(value, n)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Interface: // only in the section for Windows
	case reflect.String:
		v.SetString("text \"\\\n\u00e9\U0001f600/ " + strings.Repeat("x", *n%7))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(-int64(*n))
	case reflect.Uint, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*n))
	default:
		panic(v.Type().String())
	}
}

// The hand-written decoder knows every field of the specification's types that concerns Linux.
func TestDecodeEveryField(t *testing.T) {
	want := new(specs.Spec)
	n := 0
	fill(reflect.ValueOf(want).Elem(), &n)
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	want.Solaris, want.Windows, want.VM, want.ZOS, want.FreeBSD = nil, nil, nil, nil, nil
	got := new(specs.Spec)
	d := decodeAll(text, "", got, decodeSpec)
	if d.syntax != nil || len(d.faults) > 0 || len(d.warnings) > 0 {
		t.Fatalf("%v\n%v\n%v", d.syntax, d.faults, d.warnings)
	}
	if !reflect.DeepEqual(got, want) {
		g, _ := json.MarshalIndent(got, "", " ")
		w, _ := json.MarshalIndent(want, "", " ")
		gl, wl := bytes.Split(g, []byte("\n")), bytes.Split(w, []byte("\n"))
		for i := range wl {
			if i >= len(gl) || !bytes.Equal(gl[i], wl[i]) {
				t.Fatalf("line %d: want %s", i, wl[i])
			}
		}
		t.Fatal("differs where JSON does not show it")
	}
}

// What the decoder reads is what encoding/json reads.
func TestDecodeAsEncodingJSON(t *testing.T) {
	docker, err := os.ReadFile("testdata/docker.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"docker":  string(docker),
		"example": string(exampleJSON(t)),
		"nulls":   `{"process":null,"hostname":null,"mounts":null,"annotations":null,"root":{"path":null,"readonly":null},"linux":{"uidMappings":[null]}}`,
		"empties": `{"process":{},"mounts":[],"annotations":{},"linux":{"maskedPaths":[],"resources":{"pids":{"limit":0}}}}`,
		"escapes": `{"hostname":"\u0041\ud83d\ude00\ud83d\n\/\"\\\b\f\r\t","domainname":"\ud83dx"}`,
		"space":   " \t\r\n{ \"mounts\" : [ { } , { } ] , \"hostname\" : \"a\" } \n",
		"twice":   `{"hostname":"a","hostname":"b","mounts":[{"type":"x"}],"mounts":[{"source":"y"}]}`,
	} {
		want, got := new(specs.Spec), new(specs.Spec)
		if err := json.Unmarshal([]byte(text), want); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if name == "twice" { // encoding/json reuses the first array's elements
			want.Mounts[0].Type = ""
		}
		d := decodeAll([]byte(text), "", got, decodeSpec)
		if d.syntax != nil || len(d.faults) > 0 {
			t.Errorf("%s: %v %v", name, d.syntax, d.faults)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, want)
		}
	}
}

func TestSyntaxErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "empty, where a JSON object is expected"},
		{"  \n ", "line 2, column 2: the text ends where a JSON value is expected: is the file truncated?"},
		{"{", "line 1, column 2: the text ends where a key in quotes is expected: is the file truncated?"},
		{"{\n  \"root\": {\n    \"path\": \"roo", "line 3, column 17: the text ends inside a string: is the file truncated?"},
		{"{\"root\": {\"path\": \"a\"}", "line 1, column 23: the text ends where ',' or '}' is expected: is the file truncated?"},
		{"{\"a\" 1}", "line 1, column 6: '1' where ':' is expected"},
		{"{\n \"hostname\": \"a\",\n}", "line 3, column 1: '}' where a key in quotes is expected"},
		{`{"mounts": [1,]}`, "line 1, column 15: ']' where a JSON value is expected"},
		{`{"mounts": [{} {}]}`, "line 1, column 16: '{' where ',' or ']' is expected"},
		{`{"hostname": nul}`, "line 1, column 14: 'n' where a JSON value is expected"},
		{`{"hostname": 'a'}`, `line 1, column 14: '\'' where a JSON value is expected`},
		{`{"hostname": "a\qb"}`, `line 1, column 16: bad escape "\\q"`},
		{`{"hostname": "\u12g4"}`, `line 1, column 15: bad \u escape`},
		{"{\"hostname\": \"a\nb\"}", "line 1, column 16: control character in a string"},
		{"{\"hostname\": \"a\xffb\"}", "line 1, column 16: not UTF-8"},
		{`{"x": -}`, "line 1, column 8: '}' where a digit is expected"},
		{`{"x": 1.}`, "line 1, column 9: '}' where a digit is expected"},
		{`{"x": 01}`, "line 1, column 8: '1' where ',' or '}' is expected"},
		{`{} {}`, "line 1, column 4: '{' where the end of the text is expected"},
		{`{"x": ` + strings.Repeat("[", 300), "line 1, column 206: nested too deeply"},
		{"\x00", `line 1, column 1: '\x00' where a JSON value is expected`},
		{"{}\x00", `line 1, column 3: '\x00' where the end of the text is expected`},
	} {
		_, err := Parse([]byte(c.text), "/b")
		if err == nil || err.Error() != c.want {
			t.Errorf("%.60q:\n got %v\nwant %s", c.text, err, c.want)
		}
	}
}

// Mismatches of types have their JSON path, and do not hide one another or what else is wrong.
func TestTypeMismatches(t *testing.T) {
	const text = `{
		"ociVersion": 1,
		"process": {"args": ["a", 5], "cwd": {"x": [1, 2]}, "user": {"uid": -1, "gid": 1.5, "umask": 4294967296}, "terminal": "yes"},
		"root": "rootfs",
		"mounts": {"a": 1},
		"annotations": {"a.b": false},
		"linux": {"namespaces": [{"type": "mnt"}, true], "resources": {"memory": {"limit": "1G"}, "blockIO": {"weight": 65536}}}
	}`
	_, err := Parse([]byte(text), "/b")
	want := strings.Join([]string{
		"14 faults:",
		"  ociVersion: must be a string, not a number",
		"  process.args[1]: must be a string, not a number",
		"  process.cwd: must be a string, not an object",
		"  process.user.uid: must be from 0 to 4294967295, not -1",
		"  process.user.gid: must be a whole number, not 1.5",
		"  process.user.umask: must be from 0 to 4294967295, not 4294967296",
		"  process.terminal: must be a boolean, not a string",
		"  root: must be an object, not a string",
		"  mounts: must be an array, not an object",
		`  annotations["a.b"]: must be a string, not a boolean`,
		"  linux.namespaces[1]: must be an object, not a boolean",
		"  linux.resources.memory.limit: must be a number, not a string",
		"  linux.resources.blockIO.weight: must be from 0 to 65535, not 65536",
		`  linux.namespaces[0].type: unknown type "mnt"`,
	}, "\n")
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestUnknownPropertyIsAWarning(t *testing.T) {
	b, err := Parse([]byte(`{"ociVersion":"1.0.0","root":{"path":"r","readOnly":true},"x.y":[{"a":null}],"windows":{"q":1}}`), "/b")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"root.readOnly: unknown property, ignored", "x.y: unknown property, ignored"}
	if !reflect.DeepEqual(b.Warnings, want) {
		t.Errorf("got %q", b.Warnings)
	}
}

func exampleJSON(t testing.TB) []byte {
	t.Helper()
	text, err := json.MarshalIndent(Example(), "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	return text
}
