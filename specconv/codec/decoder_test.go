package codec

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

// The decoder knows every field of the specification's types that concerns Linux.
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
	d := Decoder{Fault: func(path, problem string) { t.Error(path, problem) }, Unknown: func(path string) { t.Error(path, "unknown") }}
	if err := Decode(&d, text, got, DecodeSpec); err != nil {
		t.Fatal(err)
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
	docker, err := os.ReadFile("../testdata/docker.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"docker":  string(docker),
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
		d := Decoder{Fault: func(path, problem string) { t.Error(name, path, problem) }}
		if err := Decode(&d, []byte(text), got, DecodeSpec); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, want)
		}
	}
}
