package systemd

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
)

// show formats a value with its type: "u 7", "as [a, b]".
func show(v dbus.Variant) string {
	return v.Signature().String() + " " + showData(reflect.ValueOf(v.Value()))
}

func showData(v reflect.Value) string {
	var parts []string
	switch v.Kind() {
	case reflect.String:
		return fmt.Sprintf("%q", v)
	case reflect.Slice:
		for i := range v.Len() {
			parts = append(parts, showData(v.Index(i)))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			parts = append(parts, showData(v.Field(i)))
		}
	default:
		return fmt.Sprint(v)
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

func TestParseValue(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"true", "b true"},
		{" false ", "b false"},
		{"7", "i 7"},
		{"-7", "i -7"},
		{"+7", "i 7"},
		{"0x1F", "i 31"},
		{"017", "i 15"},
		{"2147483647", "i 2147483647"},
		{"-2147483648", "i -2147483648"},
		{"2147483648", `2147483648 is not an integer of type "i"`},
		{"int64 2147483648", "x 2147483648"},
		{"uint64 18446744073709551615", "t 18446744073709551615"},
		{"uint64 18446744073709551616", `18446744073709551616 is not an integer of type "t"`},
		{"uint32 -1", `-1 is not an integer of type "u"`},
		{"@y 256", `256 is not an integer of type "y"`},
		{"byte 255", "y 255"},
		{"1.5", "d 1.5"},
		{"1e3", "d 1000"},
		{"double 1", "d 1"},
		{"@d 1e999", "1e999 is not a number"},
		{"'it''s'", `"'s'" after the value`},
		{`'a "b" \'c\' \n\t\\ é \u00e9 \U0001F600'`, `s "a \"b\" 'c' \n\t\\ é é 😀"`},
		{`"it's"`, `s "it's"`},
		{`'open`, `'open: the string does not end`},
		{`'open\`, `'open\: the string does not end`},
		{`'\ud800'`, `\ud800 is not a character`},
		{`'\uFFFG'`, `\uFFFG is not a character`},
		{`'\u12'`, `\u12': too short`},
		{`'\u0000'`, `"\x00" is not UTF-8 without NUL`},
		{"'\xff'", `"\xff" is not UTF-8 without NUL`},
		{"['a', 'b']", `as ["a", "b"]`},
		{"[1, uint64 2, 3]", "at [1, 2, 3]"},
		{"[1, 2.5]", "ad [1, 2.5]"},
		{"[1, 'a']", `"a" is not of type "i"`},
		{"@as []", "as []"},
		{"[]", "the type is ambiguous: write @TYPE in front of it"},
		{"[@as [], ['x']]", `aas [[], ["x"]]`},
		{"[[], ['x']]", `aas [[], ["x"]]`},
		{"[('/dev/null', 'rw'), ('char-pts', 'rwm')]", `a(ss) [["/dev/null", "rw"], ["char-pts", "rwm"]]`},
		{"@a(ss) []", "a(ss) []"},
		{"@a(st) [('/dev/sda', 1000)]", `a(st) [["/dev/sda", 1000]]`},
		{"('x',)", `(s) ["x"]`},
		{"('x', 1, [true])", `(siab) ["x", 1, [true]]`},
		{"()", "a structure must have members"},
		{"(1, 2", `"": a comma or ')' is missing`},
		{"['a' 'b']", `"'b']": a comma or ']' is missing`},
		{"@(ss) ('a', 'b', 'c')", `the structure is not of type "(ss)"`},
		{"@as 'a'", `"a" is not of type "as"`},
		{"@s 7", `7 is not of type "s"`},
		{"@v <1>", `"@v" is neither a value nor a type`},
		{"{'a': 1}", `"{'a': 1}" is neither a value nor a type`},
		{"uint32 uint32 1", `"uint32": the value already has a type`},
		{"infinity", `"infinity" is neither a value nor a type`},
		{"", "a value is missing"},
		{"1 2", `"2" after the value`},
		{"1x", `1x is not an integer of type "i"`},
		{"--1", `--1 is not an integer of type "i"`},
		{strings.Repeat("[", 40), "values are nested too deeply"},
		{"(" + strings.Repeat("1, ", 300) + "1)", `values are nested too deeply: dbus: invalid signature: "(` + strings.Repeat("i", 301) + `)" (too long)`},
	} {
		got := ""
		if v, err := ParseValue(c.text); err != nil {
			got = err.Error()
		} else {
			got = show(v)
		}
		if got != c.want {
			t.Errorf("%s\ngot  %s\nwant %s", c.text, got, c.want)
		}
	}
}

// FuzzParseValue compares ParseValue with the parser of the D-Bus library, which other runtimes
// use: a text that both accept has the same value, and every accepted value can be sent.
func FuzzParseValue(f *testing.F) {
	for _, text := range []string{"true", "-7", "uint64 7", "1.5", `'a\n'`, "['a','b']", "@as []", "[1, uint64 2]", "[('a', 1)]", "@a(ss) []", "0x1f", "[[1],[2]]"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := ParseValue(text)
		if err != nil {
			return
		}
		var message bytes.Buffer
		sent := dbus.Message{Type: dbus.TypeMethodCall, Body: []any{v}, Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath("/")), dbus.FieldMember: dbus.MakeVariant("M"), dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf(v)),
		}}
		if err := sent.EncodeTo(&message, binary.LittleEndian); err != nil {
			t.Fatalf("%q: cannot be sent: %v", text, err)
		}
		other, err := dbus.ParseVariant(text, dbus.Signature{})
		if err != nil || libraryIsWrong(text) {
			return
		}
		if show(v) != show(other) {
			t.Fatalf("%q: is %s, and %s to the library", text, show(v), show(other))
		}
	})
}

// libraryIsWrong reports whether the library differs from GLib: it reads \v as a v, does not
// support structures, reads 0.8 as 0, and ignores what follows a value.
func libraryIsWrong(text string) bool {
	for i := range text {
		if rest := text[i:]; strings.HasPrefix(rest, `\v`) || rest[0] == '(' || len(rest) > 1 && rest[0] == '0' && strings.IndexByte(".0123456789", rest[1]) >= 0 {
			return true
		}
	}
	return false
}
