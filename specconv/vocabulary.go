package specconv

// A vocabulary is a table of the values that a field of config.json may have, each with its value
// for the kernel.
type vocabulary[N ~string, V any] []word[N, V]

type word[N ~string, V any] struct {
	name  N
	value V
}

// value returns the value of a name, and whether the name is known.
func (v vocabulary[N, V]) value(name N) (value V, ok bool) {
	for i := range v {
		if v[i].name == name {
			return v[i].value, true
		}
	}
	return value, false
}

// names returns all names, in the order of the table.
func (v vocabulary[N, V]) names() []string {
	names := make([]string, len(v))
	for i := range v {
		names[i] = string(v[i].name)
	}
	return names
}
