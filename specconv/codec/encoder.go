package codec

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// An Encoder writes one JSON text.
type Encoder struct {
	// Buf is the output.
	Buf []byte
	// Indent, if set, puts each member and element on a line of its own, indented by this string for
	// each level.
	Indent string
	// AnyBytes preserves strings that are not UTF-8: invalid bytes are written as \udc00 to \udcff,
	// which stand for no character otherwise. Without it they become U+FFFD.
	AnyBytes bool

	depth int
}

// byteEscapes are the lone surrogates that stand for bytes.
const byteEscapes = 0xdc00

// AppendText appends a string as JSON.
func AppendText(b []byte, s string) []byte { return appendText(b, s, false) }

func appendText(b []byte, s string, anyBytes bool) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if anyBytes && r == utf8.RuneError && n == 1 {
				b = append(b, '\\', 'u', 'd', 'c', hex[c>>4], hex[c&15])
			} else {
				b = utf8.AppendRune(b, r) // U+FFFD for invalid UTF-8
			}
			i += n
			continue
		}
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\t':
			b = append(b, '\\', 't')
		case c < ' ' || c == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
		i++
	}
	return append(b, '"')
}

// Open begins an object.
func (e *Encoder) Open() { e.open('{') }

// Close ends an object.
func (e *Encoder) Close() { e.close('{', '}') }

// Key begins a member of an object.
func (e *Encoder) Key(name string) {
	e.next()
	EncodeText(e, &name)
	e.Buf = append(e.Buf, ':')
	if e.Indent != "" {
		e.Buf = append(e.Buf, ' ')
	}
}

func (e *Encoder) open(bracket byte) {
	e.Buf = append(e.Buf, bracket)
	e.depth++
}

func (e *Encoder) close(opened, bracket byte) {
	e.depth--
	if e.Buf[len(e.Buf)-1] != opened {
		e.newline()
	}
	e.Buf = append(e.Buf, bracket)
}

// next begins a member or an element.
func (e *Encoder) next() {
	if last := e.Buf[len(e.Buf)-1]; last != '{' && last != '[' {
		e.Buf = append(e.Buf, ',')
	}
	e.newline()
}

func (e *Encoder) newline() {
	if e.Indent == "" {
		return
	}
	e.Buf = append(e.Buf, '\n')
	for range e.depth {
		e.Buf = append(e.Buf, e.Indent...)
	}
}

func (e *Encoder) null() { e.Buf = append(e.Buf, "null"...) }

// EncodeText writes a string.
func EncodeText[T ~string](e *Encoder, v *T) { e.Buf = appendText(e.Buf, string(*v), e.AnyBytes) }

// EncodeBool writes a boolean.
func EncodeBool(e *Encoder, v *bool) { e.Buf = strconv.AppendBool(e.Buf, *v) }

// EncodeUint writes an unsigned number.
func EncodeUint[T ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64](e *Encoder, v *T) {
	e.Buf = strconv.AppendUint(e.Buf, uint64(*v), 10)
}

// EncodeInt writes a signed number.
func EncodeInt[T ~int | ~int8 | ~int16 | ~int32 | ~int64](e *Encoder, v *T) {
	e.Buf = strconv.AppendInt(e.Buf, int64(*v), 10)
}

// EncodeList writes an array, or null for nil.
func EncodeList[T any](e *Encoder, v *[]T, element func(*Encoder, *T)) {
	if *v == nil {
		e.null()
		return
	}
	e.open('[')
	for i := range *v {
		e.next()
		element(e, &(*v)[i])
	}
	e.close('[', ']')
}

// EncodeMap writes an object with arbitrary keys, in sorted order, or null for nil.
func EncodeMap[T any](e *Encoder, v *map[string]T, element func(*Encoder, *T)) {
	if *v == nil {
		e.null()
		return
	}
	e.Open()
	for _, key := range slices.Sorted(maps.Keys(*v)) {
		e.Key(key)
		one := (*v)[key]
		element(e, &one)
	}
	e.Close()
}

// EncodePointer writes the value of a pointer, or null for nil.
func EncodePointer[T any](e *Encoder, v **T, value func(*Encoder, *T)) {
	if *v == nil {
		e.null()
		return
	}
	value(e, *v)
}

// EncodeBytes writes bytes as a string of base64.
func EncodeBytes(e *Encoder, v *[]byte) {
	e.Buf = append(base64.StdEncoding.AppendEncode(append(e.Buf, '"'), *v), '"')
}

// EncodeTime writes a time as a string.
func EncodeTime(e *Encoder, v *time.Time) {
	e.Buf = append(v.AppendFormat(append(e.Buf, '"'), time.RFC3339Nano), '"')
}

// EncodeRaw writes a value that is already JSON.
func EncodeRaw(e *Encoder, v *json.RawMessage) {
	if *v == nil {
		e.null()
		return
	}
	e.Buf = append(e.Buf, *v...)
}
