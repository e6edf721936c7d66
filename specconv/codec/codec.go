// Package codec reads and writes runtime-spec's types as JSON.
//
// The code for each type is generated from its fields. It replaces encoding/json for two reasons.
// That package analyses a tree of types by reflection at first use, which costs a process that
// lives for 10 ms more than half a millisecond. And it stops at the first value that does not fit
// its field. This package reports each of them with its path and continues.
//
// The generated code of other packages for their own types calls this package.
package codec

//go:generate go run github.com/orlop/orlop/specconv/codec/gen -from github.com/opencontainers/runtime-spec/specs-go Spec State ContainerProcessState
