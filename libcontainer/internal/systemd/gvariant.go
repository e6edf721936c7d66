package systemd

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/godbus/dbus/v5"
)

// The text form of GVariant (docs.gtk.org/glib/gvariant-text-format.html), as far as units have
// properties of such types. The D-Bus library also has a parser, but that does not support
// structures, reads 0.8 as 0, and ignores what follows a value.
//
//	true                            boolean
//	7, -1, 0x1f, 017                int32, or the type that the context requires
//	1.5, 1e3                        double
//	'a "b"', "it's"                 string
//	uint64 7, @t 7                  of the type in front of it
//	['a', 'b'], @as []              array
//	('/dev/null', 'rw')             structure

// maxDepth bounds the nesting of values; D-Bus allows 64.
const maxDepth = 32

// ParseValue returns the value of a text in GVariant's form.
func ParseValue(text string) (dbus.Variant, error) {
	p := parser{rest: text}
	n, err := p.node(0)
	if err == nil {
		if p.blank(); p.rest != "" {
			err = fmt.Errorf("%q after the value", p.rest)
		}
	}
	if err != nil {
		return dbus.Variant{}, err
	}
	sig := n.natural()
	if sig == "" {
		return dbus.Variant{}, errors.New("the type is ambiguous: write @TYPE in front of it")
	}
	if _, err := dbus.ParseSignature(sig); err != nil {
		return dbus.Variant{}, fmt.Errorf("values are nested too deeply: %w", err)
	}
	v, err := n.as(sig)
	if err != nil {
		return dbus.Variant{}, err
	}
	return dbus.MakeVariant(v.Interface()), nil
}

// goType returns the Go type that the library sends as a D-Bus type.
func goType(sig string) reflect.Type {
	switch sig[0] {
	case 'a':
		return reflect.SliceOf(goType(sig[1:]))
	case '(':
		types, _ := memberTypes(sig)
		fields := make([]reflect.StructField, len(types))
		for i, t := range types {
			fields[i] = reflect.StructField{Name: "Member" + strconv.Itoa(i), Type: goType(t)}
		}
		return reflect.StructOf(fields)
	}
	return basicTypes()[sig[:1]].goType
}

// A basicType is a type without members.
type basicType struct {
	name   string // in the text form
	goType reflect.Type
}

// basicTypes returns them by their signatures.
func basicTypes() map[string]basicType {
	return map[string]basicType{
		"b": {"boolean", reflect.TypeFor[bool]()},
		"y": {"byte", reflect.TypeFor[uint8]()},
		"n": {"int16", reflect.TypeFor[int16]()},
		"q": {"uint16", reflect.TypeFor[uint16]()},
		"i": {"int32", reflect.TypeFor[int32]()},
		"u": {"uint32", reflect.TypeFor[uint32]()},
		"x": {"int64", reflect.TypeFor[int64]()},
		"t": {"uint64", reflect.TypeFor[uint64]()},
		"d": {"double", reflect.TypeFor[float64]()},
		"s": {"string", reflect.TypeFor[string]()},
	}
}

// A node is a value whose type may depend on its context.
type node struct {
	kind     byte   // 'b' boolean, '0' number, 's' string, '[' array, '(' structure
	text     string // of a number or string; "true"
	typed    string // the type in front of it
	children []node
}

// natural returns the type of a node without context, "" if it has none.
func (n *node) natural() string {
	switch {
	case n.typed != "":
		return n.typed
	case n.kind == 'b':
		return "b"
	case n.kind == 's':
		return "s"
	case n.kind == '0' && isInteger(n.text):
		return "i"
	case n.kind == '0':
		return "d"
	case n.kind == '[':
		return n.arrayType()
	}
	sig := "("
	for i := range n.children {
		child := n.children[i].natural()
		if child == "" {
			return ""
		}
		sig += child
	}
	return sig + ")"
}

// arrayType returns the type of an array: that of an element with an explicit type, or else the
// most specific one.
func (n *node) arrayType() string {
	found := ""
	for i := range n.children {
		child := &n.children[i]
		sig := child.natural()
		if child.typed != "" {
			return "a" + sig
		}
		if found == "" || sig == "d" {
			found = sig
		}
	}
	if found == "" {
		return ""
	}
	return "a" + found
}

// as returns the node's value with this type.
func (n *node) as(sig string) (reflect.Value, error) {
	mismatch := fmt.Errorf("%s is not of type %q", n, sig)
	if n.typed != "" && n.typed != sig {
		return reflect.Value{}, mismatch
	}
	switch n.kind {
	case 'b':
		if sig == "b" {
			return reflect.ValueOf(n.text == "true"), nil
		}
	case 's':
		if sig == "s" {
			return reflect.ValueOf(n.text), nil
		}
	case '0':
		return number(n.text, sig)
	case '[':
		if sig[0] != 'a' {
			break
		}
		list := reflect.MakeSlice(goType(sig), len(n.children), len(n.children))
		for i := range n.children {
			v, err := n.children[i].as(sig[1:])
			if err != nil {
				return v, err
			}
			list.Index(i).Set(v)
		}
		return list, nil
	case '(':
		types, ok := memberTypes(sig)
		if !ok || len(types) != len(n.children) {
			break
		}
		structure := reflect.New(goType(sig)).Elem()
		for i := range n.children {
			v, err := n.children[i].as(types[i])
			if err != nil {
				return v, err
			}
			structure.Field(i).Set(v)
		}
		return structure, nil
	}
	return reflect.Value{}, mismatch
}

// String formats the node for messages.
func (n *node) String() string {
	switch n.kind {
	case 's':
		return strconv.Quote(n.text)
	case '[':
		return "the array"
	case '(':
		return "the structure"
	}
	return n.text
}

func isInteger(s string) bool {
	return strings.HasPrefix(strings.TrimLeft(s, "+-"), "0x") || !strings.ContainsAny(s, ".eE")
}

// number parses a number of a type. As in C, 0x begins a hexadecimal one and 0 an octal one.
func number(text, sig string) (reflect.Value, error) {
	n := reflect.New(goType(sig)).Elem()
	if n.CanFloat() {
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsInf(f, 0) {
			return n, fmt.Errorf("%s is not a number", text)
		}
		n.SetFloat(f)
		return n, nil
	}
	if !n.CanInt() && !n.CanUint() {
		return n, fmt.Errorf("%s is not of type %q", text, sig)
	}
	bad := fmt.Errorf("%s is not an integer of type %q", text, sig)
	digits, negative := strings.CutPrefix(text, "-")
	if !negative {
		digits = strings.TrimPrefix(digits, "+")
	}
	base := 10
	switch {
	case strings.HasPrefix(digits, "0x"):
		digits, base = digits[2:], 16
	case len(digits) > 1 && digits[0] == '0':
		digits, base = digits[1:], 8
	}
	if strings.HasPrefix(digits, "-") || strings.HasPrefix(digits, "+") {
		return n, bad
	}
	if n.CanUint() {
		u, err := strconv.ParseUint(digits, base, n.Type().Bits())
		if err != nil || negative && u != 0 {
			return n, bad
		}
		n.SetUint(u)
		return n, nil
	}
	if negative {
		digits = "-" + digits
	}
	i, err := strconv.ParseInt(digits, base, n.Type().Bits())
	if err != nil {
		return n, bad
	}
	n.SetInt(i)
	return n, nil
}

type parser struct{ rest string }

func (p *parser) blank() { p.rest = strings.TrimLeft(p.rest, " \t\r\n") }

// literal consumes a character if it is the next one.
func (p *parser) literal(c byte) bool {
	p.blank()
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

func (p *parser) node(depth int) (node, error) {
	if depth > maxDepth {
		return node{}, errors.New("values are nested too deeply")
	}
	p.blank()
	if p.rest == "" {
		return node{}, errors.New("a value is missing")
	}
	switch c := p.rest[0]; {
	case c == '\'' || c == '"':
		text, err := p.quoted()
		return node{kind: 's', text: text}, err
	case c == '[':
		return p.list('[', ']', depth)
	case c == '(':
		return p.list('(', ')', depth)
	case c == '+' || c == '-' || c == '.' || '0' <= c && c <= '9':
		return node{kind: '0', text: p.word()}, nil
	}
	word := p.word()
	if word == "true" || word == "false" {
		return node{kind: 'b', text: word}, nil
	}
	sig, ok := typeNamed(word)
	if !ok {
		if word == "" {
			word = p.rest
		}
		return node{}, fmt.Errorf("%.40q is neither a value nor a type", word)
	}
	n, err := p.node(depth + 1)
	if err != nil {
		return node{}, err
	}
	if n.typed != "" {
		return node{}, fmt.Errorf("%q: the value already has a type", word)
	}
	n.typed = sig
	return n, nil
}

// word consumes everything up to a blank, a comma or a bracket.
func (p *parser) word() string {
	depth := 0 // of parentheses within a type, as in @a(ss)
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case p.rest[0] == '@' && c == '(':
			depth++
		case p.rest[0] == '@' && c == ')' && depth > 0:
			depth--
		case strings.IndexByte(" \t\r\n,[](){}<>'\"", c) >= 0:
			return p.cut(i)
		}
	}
	return p.cut(len(p.rest))
}

func (p *parser) cut(n int) string {
	taken := p.rest[:n]
	p.rest = p.rest[n:]
	return taken
}

func (p *parser) list(open, end byte, depth int) (node, error) {
	p.literal(open)
	n := node{kind: open}
	for !p.literal(end) {
		if len(n.children) > 0 {
			if !p.literal(',') {
				return node{}, fmt.Errorf("%q: a comma or %q is missing", p.rest, end)
			}
			// ('x',) is a structure with one member
			if open == '(' && len(n.children) == 1 && p.literal(end) {
				return n, nil
			}
		}
		child, err := p.node(depth + 1)
		if err != nil {
			return node{}, err
		}
		n.children = append(n.children, child)
	}
	if open == '(' && len(n.children) == 0 {
		return node{}, errors.New("a structure must have members")
	}
	return n, nil
}

// quoted consumes a string in quotes.
func (p *parser) quoted() (string, error) {
	quote := p.rest[0]
	rest := p.rest[1:]
	var b strings.Builder
	for rest != "" {
		c := rest[0]
		switch {
		case c == quote:
			p.rest = rest[1:]
			text := b.String()
			if !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0 {
				return "", fmt.Errorf("%q is not UTF-8 without NUL", text)
			}
			return text, nil
		case c != '\\':
			b.WriteByte(c)
			rest = rest[1:]
			continue
		}
		size, err := unescape(&b, rest[1:])
		if err != nil {
			return "", err
		}
		rest = rest[1+size:]
	}
	return "", fmt.Errorf("%s: the string does not end", p.rest)
}

// unescape writes the character of the escape at the start of s, after its backslash, and returns
// the escape's length.
func unescape(b *strings.Builder, s string) (size int, err error) {
	if s == "" {
		return 0, nil // the string does not end
	}
	switch c := s[0]; c {
	case 'u', 'U':
		size = 5
		if c == 'U' {
			size = 9
		}
		if len(s) < size {
			return 0, fmt.Errorf("\\%s: too short", s)
		}
		r, err := strconv.ParseUint(s[1:size], 16, 32)
		if err != nil || !utf8.ValidRune(rune(r)) || r > utf8.MaxRune {
			return 0, fmt.Errorf("\\%s is not a character", s[:size])
		}
		b.WriteRune(rune(r))
		return size, nil
	case '\n': // the line continues
	case 'a', 'b', 'f', 'n', 'r', 't', 'v':
		b.WriteByte("\a\b\f\n\r\t\v"[strings.IndexByte("abfnrtv", c)])
	default:
		b.WriteByte(c)
	}
	return 1, nil
}

// typeNamed returns the type for "uint64" or "@t".
func typeNamed(word string) (sig string, ok bool) {
	if sig, ok := strings.CutPrefix(word, "@"); ok {
		rest, valid := oneType(sig, 0)
		return sig, valid && rest == ""
	}
	for sig, t := range basicTypes() {
		if t.name == word {
			return sig, true
		}
	}
	return "", false
}

// oneType removes one type from a signature.
func oneType(sig string, depth int) (rest string, ok bool) {
	if sig == "" || depth > maxDepth {
		return "", false
	}
	switch sig[0] {
	case 'a':
		return oneType(sig[1:], depth+1)
	case '(':
		rest = sig[1:]
		for ok = true; ok && !strings.HasPrefix(rest, ")"); {
			rest, ok = oneType(rest, depth+1)
		}
		if !ok || rest == sig[1:] {
			return "", false
		}
		return rest[1:], true
	}
	_, ok = basicTypes()[sig[:1]]
	return sig[1:], ok
}

// memberTypes returns the types of a structure's members.
func memberTypes(sig string) (types []string, ok bool) {
	inner, isStructure := strings.CutPrefix(sig, "(")
	if !isStructure {
		return nil, false
	}
	for inner != ")" {
		rest, ok := oneType(inner, 0)
		if !ok {
			return nil, false
		}
		types = append(types, inner[:len(inner)-len(rest)])
		inner = rest
	}
	return types, true
}
