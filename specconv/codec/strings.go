package codec

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// text reads a string; the caller has seen its first quote. A string without escapes is a slice of
// the input, not a copy.
func (d *Decoder) text() string {
	start := d.pos + 1
	ascii := true
	for i := start; i < len(d.in); i++ {
		switch c := d.in[i]; {
		case c == '"':
			s := d.in[start:i]
			if !ascii && !utf8.ValidString(s) {
				d.fail(start+firstInvalid(s), "not UTF-8")
				return ""
			}
			d.pos = i + 1
			return s
		case c == '\\':
			return d.escaped(start, i)
		case c < ' ':
			d.fail(i, "control character in a string")
			return ""
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	d.fail(len(d.in), "the text ends inside a string: is the file truncated?")
	return ""
}

// firstInvalid returns the offset of the first byte of s that is not valid UTF-8.
func firstInvalid(s string) int {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return i
			}
		}
	}
	return len(s)
}

// escaped reads the rest of a string that starts at start, from its first backslash at i.
func (d *Decoder) escaped(start, i int) string {
	b := append(make([]byte, 0, i-start+32), d.in[start:i]...)
	for i < len(d.in) {
		switch c := d.in[i]; {
		case c == '"':
			if !d.AnyBytes && !utf8.Valid(b) {
				d.fail(start, "string is not UTF-8")
				return ""
			}
			d.pos = i + 1
			return string(b)
		case c < ' ':
			d.fail(i, "control character in a string")
			return ""
		case c != '\\':
			b = append(b, c)
			i++
		case i+1 < len(d.in) && d.in[i+1] == 'u':
			r, n := unicodeEscape(d.in[i:])
			if n == 0 {
				d.fail(i, "bad \\u escape")
				return ""
			}
			if d.AnyBytes && byteEscapes <= r && r <= byteEscapes+0xff {
				b = append(b, byte(r-byteEscapes))
			} else {
				b = utf8.AppendRune(b, r) // U+FFFD for a lone surrogate, as in encoding/json
			}
			i += n
		case i+1 < len(d.in):
			k := strings.IndexByte(`"\/bfnrt`, d.in[i+1])
			if k < 0 {
				d.fail(i, "bad escape "+strconv.Quote(d.in[i:i+2]))
				return ""
			}
			b = append(b, "\"\\/\b\f\n\r\t"[k])
			i += 2
		default:
			i++
		}
	}
	d.fail(len(d.in), "the text ends inside a string: is the file truncated?")
	return ""
}

// unicodeEscape decodes the \uXXXX, or the surrogate pair of them, at the start of s. It returns
// the escape's length in bytes, 0 when it is malformed.
func unicodeEscape(s string) (rune, int) {
	unit := func(s string) rune {
		if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
			return -1
		}
		n, err := strconv.ParseUint(s[2:6], 16, 16)
		if err != nil {
			return -1
		}
		return rune(n)
	}
	r := unit(s)
	if r < 0 {
		return 0, 0
	}
	if utf16.IsSurrogate(r) {
		if pair := utf16.DecodeRune(r, unit(s[6:])); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return r, 6
}
