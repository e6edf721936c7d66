package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A kind of feature: what values it can have, and what they do to a bundle.
type kind struct {
	weight int // how often it is picked, in proportion to others
	most   int // how often a case may have it
	pick   func(r *rand.Rand) string
	apply  func(b *bundle, value string) error
}

// vocabulary has every kind by its name.
func vocabulary() map[string]kind {
	all := map[string]kind{}
	for _, part := range []map[string]kind{processKinds(), hookKinds(), mountKinds(), deviceKinds(), namespaceKinds(), linuxKinds(),
		cgroupKinds(), imageKinds(), callerKinds(), stepKinds()} {
		for name, k := range part {
			all[name] = k
		}
	}
	return all
}

// oneOf picks one of these values.
func oneOf(values ...string) func(*rand.Rand) string {
	return func(r *rand.Rand) string { return values[r.IntN(len(values))] }
}

// joined picks one value of each list and puts colons between them.
func joined(lists ...func(*rand.Rand) string) func(*rand.Rand) string {
	return func(r *rand.Rand) string {
		parts := make([]string, len(lists))
		for i, list := range lists {
			parts[i] = list(r)
		}
		return strings.Join(parts, ":")
	}
}

// some picks up to most of these values, with commas between them.
func some(most int, values ...string) func(*rand.Rand) string {
	return func(r *rand.Rand) string {
		var list []string
		for _, i := range r.Perm(len(values))[:r.IntN(min(most, len(values))+1)] {
			list = append(list, values[i])
		}
		return strings.Join(list, ",")
	}
}

// list splits what some has joined.
func list(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// fields splits a value at its colons into exactly n parts.
func fields(value string, n int) ([]string, error) {
	parts := strings.SplitN(value, ":", n)
	if len(parts) != n {
		return nil, fmt.Errorf("want %d parts in %q", n, value)
	}
	return parts, nil
}

// number reads a decimal number of any integer type.
func number[T ~int | ~int64 | ~uint32 | ~uint64 | ~uint16](text string) (*T, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, err
	}
	t := T(n)
	return &t, nil
}

// always wraps a change that cannot fail.
func always(change func(b *bundle, value string)) func(*bundle, string) error {
	return func(b *bundle, value string) error {
		change(b, value)
		return nil
	}
}

// resources returns the limits of the configuration.
func (b *bundle) resources() *specs.LinuxResources {
	if b.spec.Linux.Resources == nil {
		b.spec.Linux.Resources = &specs.LinuxResources{}
	}
	return b.spec.Linux.Resources
}
