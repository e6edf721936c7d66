package specconv

import specs "github.com/opencontainers/runtime-spec/specs-go"

// Unsupported lists the fields of s that are set and valid, but which the runtime does not
// implement yet: ignoring them would run another container than the one described. None is left of
// runtime-spec 1.3. A field of a newer version that the table of docs/spec-coverage.md has as
// refused is listed here until it is implemented.
func Unsupported(*specs.Spec) Faults { return nil }
