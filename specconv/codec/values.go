package codec

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"time"
	"unsafe"
)

// DecodeText reads a string field.
func DecodeText[T ~string](d *Decoder, v *T) {
	if s, ok := d.string(); ok {
		*v = T(s)
	}
}

// string reads a string; ok is false for null and for a fault.
func (d *Decoder) string() (s string, ok bool) {
	if d.null() {
		return "", false
	}
	if d.peek() != '"' {
		d.mismatch("a string")
		return "", false
	}
	s = d.text()
	return s, d.syntax == nil
}

// DecodeBool reads a boolean field.
func DecodeBool(d *Decoder, v *bool) {
	switch c := d.peek(); {
	case d.null():
	case c == 't' && d.word("true"):
		*v = true
	case c == 'f' && d.word("false"):
		*v = false
	default:
		d.mismatch("a boolean")
	}
}

// DecodeUint reads a field of an unsigned type.
func DecodeUint[T ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64](d *Decoder, v *T) {
	text, ok := d.number()
	if !ok {
		return
	}
	size := int(unsafe.Sizeof(*v)) * 8
	n, err := strconv.ParseUint(text, 10, size)
	if err != nil {
		d.outOfRange(text, "0", strconv.FormatUint(1<<size-1, 10))
		return
	}
	*v = T(n)
}

// DecodeInt reads a field of a signed type.
func DecodeInt[T ~int | ~int8 | ~int16 | ~int32 | ~int64](d *Decoder, v *T) {
	text, ok := d.number()
	if !ok {
		return
	}
	size := int(unsafe.Sizeof(*v)) * 8
	n, err := strconv.ParseInt(text, 10, size)
	if err != nil {
		d.outOfRange(text, strconv.FormatInt(-1<<(size-1), 10), strconv.FormatInt(1<<(size-1)-1, 10))
		return
	}
	*v = T(n)
}

// number reads a whole number; ok is false for null and for a fault.
func (d *Decoder) number() (text string, ok bool) {
	if d.null() {
		return "", false
	}
	if c := d.peek(); c != '-' && (c < '0' || c > '9') {
		d.mismatch("a number")
		return "", false
	}
	text, whole := d.digits()
	if !whole {
		d.fault("must be a whole number, not " + text)
	}
	return text, whole
}

func (d *Decoder) outOfRange(text, low, high string) {
	d.fault("must be from " + low + " to " + high + ", not " + text)
}

// DecodeList reads an array field; null counts as absent.
func DecodeList[T any](d *Decoder, v *[]T, element func(*Decoder, *T)) {
	switch {
	case d.null():
		*v = nil
	case d.peek() == '[':
		list := []T{}
		d.array(func() {
			// Elements are decoded in place: a loop variable would be allocated on the heap for each.
			var zero T
			list = append(list, zero)
			element(d, &list[len(list)-1])
		})
		*v = list
	default:
		d.mismatch("an array")
	}
}

// DecodeMap reads an object field whose keys are free.
func DecodeMap[T any](d *Decoder, v *map[string]T, element func(*Decoder, *T)) {
	switch {
	case d.null():
		*v = nil
	case d.peek() == '{':
		table := map[string]T{}
		d.Object(func(key string) bool {
			var one T
			element(d, &one)
			table[key] = one
			return true
		})
		*v = table
	default:
		d.mismatch("an object")
	}
}

// DecodePointer reads a field that may be absent.
func DecodePointer[T any](d *Decoder, v **T, value func(*Decoder, *T)) {
	if d.null() {
		*v = nil
		return
	}
	p := new(T)
	value(d, p)
	*v = p
}

// DecodeBytes reads a string of base64.
func DecodeBytes(d *Decoder, v *[]byte) {
	text, ok := d.string()
	if !ok {
		return
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		d.fault("must be base64: " + err.Error())
		return
	}
	*v = data
}

// DecodeTime reads a string that holds a time in the format of RFC 3339.
func DecodeTime(d *Decoder, v *time.Time) {
	text, ok := d.string()
	if !ok {
		return
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		d.fault("must be a time: " + err.Error())
		return
	}
	*v = t
}

// DecodeRaw reads any value as JSON text.
func DecodeRaw(d *Decoder, v *json.RawMessage) {
	if d.null() {
		return
	}
	start := d.pos
	d.Skip()
	*v = json.RawMessage(d.in[start:d.pos])
}
