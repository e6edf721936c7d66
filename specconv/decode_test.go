package specconv

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

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
