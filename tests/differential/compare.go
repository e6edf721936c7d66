package main

import (
	"fmt"
	"slices"
	"strings"
)

// A difference is a fact that differs between orlop and runc.
type difference struct {
	Key               string
	Orlop, Runc, Crun string
	asked             bool // crun was run, too
}

func (d difference) String() string {
	return fmt.Sprintf("%s\n\torlop: %s\n\trunc:  %s\n\tcrun:  %s", d.Key, d.Orlop, d.Runc, d.Crun)
}

// absent is a fact's value under a runtime that does not show it.
const absent = "(none)"

// compare returns what differs between orlop and another runtime: up to the first call that ends
// otherwise, for what comes after it follows from it.
func compare(orlop, other *observation) []difference {
	first, here, there := parts(orlop, other)
	var keys []string
	for key := range here {
		keys = append(keys, key)
	}
	for key := range there {
		if _, ok := here[key]; !ok {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	var list []difference
	for _, key := range keys {
		a, b := value(here, key), value(there, key)
		if a != b {
			list = append(list, difference{Key: key, Orlop: a, Runc: b})
		}
	}
	if first > 0 && slices.ContainsFunc(list, func(d difference) bool { return isStatus(d.Key) }) {
		return slices.DeleteFunc(list, func(d difference) bool {
			return !isStatus(d.Key) && (!strings.HasPrefix(d.Key, "left ") || leftByHook(d))
		})
	}
	if here[createdKey(here)] != "0" {
		// Where neither made a container, it depends on the order of the work how far they came.
		return slices.DeleteFunc(list, func(d difference) bool { return strings.HasPrefix(d.Key, "hooks ") })
	}
	return list
}

// leftByHook reports whether a difference is a process that a hook leaves behind. It follows if one
// runtime reached the hook and the other did not.
func leftByHook(d difference) bool {
	return d.Key == "left process" && (strings.HasPrefix(d.Orlop, "hook ") || strings.HasPrefix(d.Runc, "hook "))
}

// createdKey is the key of the status of the first call.
func createdKey(facts map[string]string) string {
	for _, name := range []string{"1 run: status", "1 create: status"} {
		if _, ok := facts[name]; ok {
			return name
		}
	}
	return ""
}

func isStatus(key string) bool { return strings.HasSuffix(key, ": status") }

func value(facts map[string]string, key string) string {
	if v, ok := facts[key]; ok {
		return v
	}
	return absent
}

// parts returns the first call that ends otherwise, 0 if none does, and the facts to compare.
func parts(a, b *observation) (first int, here, there map[string]string) {
	statuses := func(o *observation) map[string]fact {
		list := map[string]fact{}
		for _, f := range o.Facts {
			if isStatus(f.Key) {
				list[f.Key] = f
			}
		}
		return list
	}
	others := statuses(b)
	for key, f := range statuses(a) {
		if g, ok := others[key]; ok && f.Value != g.Value && (first == 0 || f.Call < first) {
			first = f.Call
		}
	}
	collect := func(o *observation) map[string]string {
		facts := map[string]string{}
		for _, f := range o.Facts {
			if first == 0 || f.Call <= first {
				key := f.Key
				for n := 2; ; n++ {
					if _, ok := facts[key]; !ok {
						break
					}
					key = fmt.Sprintf("%s #%d", f.Key, n)
				}
				facts[key] = f.Value
			}
		}
		return facts
	}
	return first, collect(a), collect(b)
}
