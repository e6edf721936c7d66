package specconv

import (
	"strconv"
	"unsafe"
)

// decodeText reads a string field.
func decodeText[T ~string](d *decoder, v *T) {
	switch {
	case d.null():
	case d.peek() == '"':
		*v = T(d.text())
	default:
		d.mismatch("a string")
	}
}

// decodeBool reads a boolean field.
func decodeBool(d *decoder, v *bool) {
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

// decodeUint reads a field of an unsigned type.
func decodeUint[T ~uint | ~uint16 | ~uint32 | ~uint64](d *decoder, v *T) {
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

// decodeInt reads a field of a signed type.
func decodeInt[T ~int | ~int32 | ~int64](d *decoder, v *T) {
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

// number reads a whole number; ok is false for null and for a fault, which is recorded.
func (d *decoder) number() (text string, ok bool) {
	if d.null() {
		return "", false
	}
	if c := d.peek(); c != '-' && (c < '0' || c > '9') {
		d.mismatch("a number")
		return "", false
	}
	text, whole := d.digits()
	if d.syntax == nil && !whole {
		d.faults = append(d.faults, Fault{d.where(), "must be a whole number, not " + text})
	}
	return text, whole
}

func (d *decoder) outOfRange(text, low, high string) {
	d.faults = append(d.faults, Fault{d.where(), "must be from " + low + " to " + high + ", not " + text})
}

// decodeList reads an array field; null is no array.
func decodeList[T any](d *decoder, v *[]T, element func(*decoder, *T)) {
	switch {
	case d.null():
		*v = nil
	case d.peek() == '[':
		list := []T{}
		d.array(func() {
			// Elements are read where they stay: a variable of the loop would be moved to the heap for each.
			var zero T
			list = append(list, zero)
			element(d, &list[len(list)-1])
		})
		*v = list
	default:
		d.mismatch("an array")
	}
}

// decodeMap reads an object field whose keys are free.
func decodeMap[T any](d *decoder, v *map[string]T, element func(*decoder, *T)) {
	switch {
	case d.null():
		*v = nil
	case d.peek() == '{':
		table := map[string]T{}
		d.object(func(key string) bool {
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

// decodePtr reads a field that may be absent.
func decodePtr[T any](d *decoder, v **T, value func(*decoder, *T)) {
	if d.null() {
		*v = nil
		return
	}
	p := new(T)
	value(d, p)
	*v = p
}

// decodeTexts reads an array of strings.
func decodeTexts[T ~string](d *decoder, v *[]T) { decodeList(d, v, decodeText[T]) }

// decodeAll reads a whole JSON text.
func decodeAll[T any](config []byte, root string, v *T, value func(*decoder, *T)) *decoder {
	d := &decoder{in: string(config), path: make([]segment, 0, 8)}
	if root != "" {
		d.path = append(d.path, segment{root, -1})
	}
	value(d, v)
	if d.syntax == nil && (d.peek() != 0 || d.pos < len(d.in)) {
		d.unexpected("the end of the text")
	}
	return d
}
