// Package codec reads and writes runtime-spec's types as JSON.
//
// The code for each type is generated from its fields. It stands in for encoding/json for two
// reasons. That package prepares itself for a tree of types by reflection, at first use, which costs
// a process that lives for 10 ms more than half a millisecond. And it stops at the first value that
// does not fit its field; here each becomes a fault with its path, and reading goes on.
//
// Other packages have code for their own types generated as well; it calls this package's.
package codec

//go:generate go run github.com/orlop/orlop/specconv/codec/gen -from github.com/opencontainers/runtime-spec/specs-go Spec State ContainerProcessState
