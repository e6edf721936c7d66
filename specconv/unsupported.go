package specconv

import specs "github.com/opencontainers/runtime-spec/specs-go"

const notYet = " not implemented yet"

// Unsupported lists the fields of s that are set and valid, but which the runtime does not implement yet: to ignore them
// would run a container that is not the one described. What implements one deletes its line here.
func Unsupported(s *specs.Spec) Faults {
	var f Faults
	l := s.Linux
	if l == nil {
		return f
	}
	return f
}

func (f *Faults) unless(fine bool, path, what string) {
	if !fine {
		*f = append(*f, Fault{path, what + notYet})
	}
}
