package codec

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/orlop/orlop/specconv/jsonpath"
)

// SyntaxError is the error of a text that is not JSON.
type SyntaxError struct {
	// Line and Column count from 1; Column counts bytes.
	Line, Column int
	Problem      string
}

// Error returns "line 3, column 7: problem".
func (e *SyntaxError) Error() string {
	return "line " + strconv.Itoa(e.Line) + ", column " + strconv.Itoa(e.Column) + ": " + e.Problem
}

// maxDepth bounds the nesting of a JSON text, so that a hostile one cannot exhaust the stack.
const maxDepth = 200

// A Decoder reads one JSON text into types with generated code. It reports a value that does not
// fit its field with its path, and still reads the rest.
//
// A syntax error is sticky: from then on, every method returns at once.
type Decoder struct {
	// Root is the JSON path of the text in config.json, "" if it is the whole file.
	Root string
	// Fault is called for each value that does not fit its field.
	Fault func(path, problem string)
	// Unknown, if set, is called for each member that has no field. The specification says that
	// runtimes "MUST otherwise ignore them".
	Unknown func(path string)
	// AnyBytes decodes strings that an Encoder with AnyBytes wrote.
	AnyBytes bool

	in     string
	pos    int
	depth  int
	path   []segment
	syntax *SyntaxError
}

// segment is one step of a JSON path: a key, or an index when index is not negative.
type segment struct {
	key   string
	index int
}

// Decode reads a whole JSON text. The error is a *SyntaxError.
func Decode[T any](d *Decoder, text []byte, v *T, value func(*Decoder, *T)) error {
	d.in, d.path = string(text), make([]segment, 0, 8)
	if d.Root != "" {
		d.path = append(d.path, segment{d.Root, -1})
	}
	value(d, v)
	if d.syntax == nil && (d.peek() != 0 || d.pos < len(d.in)) {
		d.unexpected("the end of the text")
	}
	if d.syntax != nil { // a nil *SyntaxError in an error interface would not be nil
		return d.syntax
	}
	return nil
}

// fault reports the value that is being read.
func (d *Decoder) fault(problem string) {
	if d.syntax == nil {
		d.Fault(d.where(), problem)
	}
}

// where returns the JSON path of the value that is being read.
func (d *Decoder) where() string {
	path := ""
	for _, s := range d.path {
		if s.index >= 0 {
			path = jsonpath.Index(path, s.index)
		} else {
			path = jsonpath.Member(path, s.key)
		}
	}
	return path
}

// fail records a fault of syntax at the byte offset at.
func (d *Decoder) fail(at int, problem string) {
	if d.syntax != nil {
		return
	}
	at = min(at, len(d.in))
	before := d.in[:at]
	d.syntax = &SyntaxError{
		Line:    1 + strings.Count(before, "\n"),
		Column:  at - strings.LastIndexByte(before, '\n'),
		Problem: problem,
	}
	d.pos = len(d.in)
}

// unexpected records that the input at the current position is not what is expected there.
func (d *Decoder) unexpected(want string) {
	if d.pos >= len(d.in) {
		d.fail(d.pos, "the text ends where "+want+" is expected: is the file truncated?")
		return
	}
	r, _ := utf8.DecodeRuneInString(d.in[d.pos:])
	d.fail(d.pos, strconv.QuoteRune(r)+" where "+want+" is expected")
}

// peek skips white space and returns the next byte, 0 at the end.
func (d *Decoder) peek() byte {
	for d.pos < len(d.in) {
		switch c := d.in[d.pos]; c {
		case ' ', '\t', '\n', '\r':
			d.pos++
		default:
			return c
		}
	}
	return 0
}

// take consumes c if it comes next.
func (d *Decoder) take(c byte) bool {
	if d.peek() != c || d.pos >= len(d.in) {
		return false
	}
	d.pos++
	return true
}

// word consumes a literal such as null.
func (d *Decoder) word(w string) bool {
	if !strings.HasPrefix(d.in[d.pos:], w) {
		d.unexpected("a JSON value")
		return false
	}
	d.pos += len(w)
	return true
}

// null consumes a null, which leaves a field as it is.
func (d *Decoder) null() bool {
	return d.peek() == 'n' && d.word("null")
}

// mismatch records that the value's JSON type does not fit its field, and skips the value.
func (d *Decoder) mismatch(want string) {
	got := "nothing"
	switch c := d.peek(); {
	case c == '{':
		got = "an object"
	case c == '[':
		got = "an array"
	case c == '"':
		got = "a string"
	case c == 't' || c == 'f':
		got = "a boolean"
	case c == '-' || '0' <= c && c <= '9':
		got = "a number"
	}
	d.Skip()
	d.fault("must be " + want + ", not " + got)
}

// enter and leave keep count of the nesting.
func (d *Decoder) enter() {
	d.pos++
	if d.depth++; d.depth > maxDepth {
		d.fail(d.pos-1, "nested too deeply")
	}
}

func (d *Decoder) leave() { d.depth-- }

// Object reads an object or null. field is called with each key, before its value; it reads the
// value, or returns false for a key that it does not know.
func (d *Decoder) Object(field func(key string) bool) {
	if d.null() {
		return
	}
	if d.peek() != '{' {
		d.mismatch("an object")
		return
	}
	d.enter()
	defer d.leave()
	if d.take('}') {
		return
	}
	for d.syntax == nil {
		if d.peek() != '"' {
			d.unexpected("a key in quotes")
			return
		}
		key := d.text()
		if !d.take(':') {
			d.unexpected("':'")
			return
		}
		d.path = append(d.path, segment{key, -1})
		if !field(key) {
			if d.Skip(); d.Unknown != nil && d.syntax == nil {
				d.Unknown(d.where())
			}
		}
		d.path = d.path[:len(d.path)-1]
		if d.take('}') {
			return
		}
		if !d.take(',') {
			d.unexpected("',' or '}'")
		}
	}
}

// array reads an array; element is called before each of its values.
func (d *Decoder) array(element func()) {
	d.enter()
	defer d.leave()
	if d.take(']') {
		return
	}
	for i := 0; d.syntax == nil; i++ {
		d.path = append(d.path, segment{"", i})
		element()
		d.path = d.path[:len(d.path)-1]
		if d.take(']') {
			return
		}
		if !d.take(',') {
			d.unexpected("',' or ']'")
		}
	}
}

// Skip reads any value and forgets it.
func (d *Decoder) Skip() {
	switch c := d.peek(); {
	case c == '{':
		d.Object(func(string) bool { d.Skip(); return true })
	case c == '[':
		d.array(d.Skip)
	case c == '"':
		d.text()
	case c == 't':
		d.word("true")
	case c == 'f':
		d.word("false")
	case c == 'n':
		d.word("null")
	default:
		d.digits()
	}
}

// digits reads a number and returns its text. whole is set if it has neither fraction nor exponent.
func (d *Decoder) digits() (text string, whole bool) {
	start := d.pos
	run := func() bool {
		from := d.pos
		for d.pos < len(d.in) && '0' <= d.in[d.pos] && d.in[d.pos] <= '9' {
			d.pos++
		}
		return d.pos > from
	}
	at := func(set string) bool {
		if d.pos < len(d.in) && strings.IndexByte(set, d.in[d.pos]) >= 0 {
			d.pos++
			return true
		}
		return false
	}
	signed := at("-")
	if !at("0") && !run() {
		if signed {
			d.unexpected("a digit")
		} else {
			d.unexpected("a JSON value")
		}
		return "", false
	}
	whole = true
	if at(".") {
		if whole = false; !run() {
			d.unexpected("a digit")
		}
	}
	if at("eE") {
		at("+-")
		if whole = false; !run() {
			d.unexpected("a digit")
		}
	}
	if d.syntax != nil {
		return "", false
	}
	return d.in[start:d.pos], whole
}
