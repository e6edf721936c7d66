package specconv

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// SyntaxError is a config.json that is no JSON text.
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

// decoder reads one JSON text into the runtime-spec types. It stands in for encoding/json for two reasons: that package
// builds its view of the whole type tree (Windows, Solaris and the rest included) by reflection at first use, which costs
// a process that lives for 10 ms more than half a millisecond; and it stops at the first mismatch of types. Here such
// a mismatch becomes a fault with its path, and reading goes on. TestDecodeEveryField holds the two together.
//
// A fault of syntax is sticky: reading stops, and every method returns at once from then on.
type decoder struct {
	in       string
	pos      int
	depth    int
	path     []segment
	faults   Faults
	warnings []string
	syntax   *SyntaxError
}

// segment is one step of a JSON path: a key, or an index when key is empty and index is not negative.
type segment struct {
	key   string
	index int
}

// where returns the JSON path of the value that is being read.
func (d *decoder) where() string {
	var b strings.Builder
	for i, s := range d.path {
		switch {
		case s.index >= 0:
			b.WriteString("[" + strconv.Itoa(s.index) + "]")
		case i > 0 && !plainKey(s.key):
			b.WriteString("[" + strconv.Quote(s.key) + "]")
		case i > 0:
			b.WriteString("." + s.key)
		default:
			b.WriteString(s.key)
		}
	}
	return b.String()
}

// plainKey reports whether a key can stand in a JSON path without quotes.
func plainKey(key string) bool {
	for i := 0; i < len(key); i++ {
		c := key[i]
		if c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return key != ""
}

// fail records a fault of syntax at the byte offset at.
func (d *decoder) fail(at int, problem string) {
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

// unexpected records that what stands at the current place is not what is wanted there.
func (d *decoder) unexpected(want string) {
	if d.pos >= len(d.in) {
		d.fail(d.pos, "the text ends where "+want+" is expected: is the file truncated?")
		return
	}
	r, _ := utf8.DecodeRuneInString(d.in[d.pos:])
	d.fail(d.pos, strconv.QuoteRune(r)+" where "+want+" is expected")
}

// peek skips white space and returns the next byte, 0 at the end.
func (d *decoder) peek() byte {
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
func (d *decoder) take(c byte) bool {
	if d.peek() != c || d.pos >= len(d.in) {
		return false
	}
	d.pos++
	return true
}

// word consumes a literal such as null.
func (d *decoder) word(w string) bool {
	if !strings.HasPrefix(d.in[d.pos:], w) {
		d.unexpected("a JSON value")
		return false
	}
	d.pos += len(w)
	return true
}

// null consumes a null, which leaves a field as it is.
func (d *decoder) null() bool {
	return d.peek() == 'n' && d.word("null")
}

// mismatch records that the value is of another JSON type than its field, and skips it.
func (d *decoder) mismatch(want string) {
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
	if d.skip(); d.syntax == nil {
		d.faults = append(d.faults, Fault{d.where(), "must be " + want + ", not " + got})
	}
}

// enter and leave keep count of the nesting.
func (d *decoder) enter() {
	d.pos++
	if d.depth++; d.depth > maxDepth {
		d.fail(d.pos-1, "nested too deeply")
	}
}

func (d *decoder) leave() { d.depth-- }

// object reads an object or null: field is called with each key, stands before its value, and returns false for a key
// that it does not know (after which the value is skipped).
func (d *decoder) object(field func(key string) bool) {
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
			d.unknown()
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
func (d *decoder) array(element func()) {
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

// unknown skips the value of a key that the specification does not have. It "MUST otherwise ignore them", but may log:
// a misspelt field is worth a word.
func (d *decoder) unknown() {
	if d.skip(); d.syntax == nil && len(d.warnings) < maxListed {
		d.warnings = append(d.warnings, d.where()+": unknown property, ignored")
	}
}

// skip reads any value and forgets it.
func (d *decoder) skip() {
	switch c := d.peek(); {
	case c == '{':
		d.object(func(string) bool { d.skip(); return true })
	case c == '[':
		d.array(d.skip)
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

// digits reads a number and returns its text; whole tells whether it has neither fraction nor exponent.
func (d *decoder) digits() (text string, whole bool) {
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
