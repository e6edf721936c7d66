package specconv

import specs "github.com/opencontainers/runtime-spec/specs-go"

// Unsupported lists the fields of s that are set and valid, but which the runtime does not implement yet: to ignore them
// would run a container that is not the one described. Of runtime-spec 1.3 there is none left; a field of a newer one that
// is in the table of docs/spec-coverage.md as refused is listed here until it does something.
func Unsupported(*specs.Spec) Faults { return nil }
