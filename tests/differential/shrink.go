package main

import (
	"regexp"
	"slices"
	"strings"
)

// shrink drops features, and parts of their values, as long as differs holds.
func shrink(c Case, differs func(Case) bool) Case {
	for again := true; again; {
		again = false
		for i := len(c) - 1; i >= 0; i-- {
			if smaller := slices.Delete(slices.Clone(c), i, i+1); differs(smaller) {
				c, again = smaller, true
			}
		}
	}
	for i := range c {
		for again := true; again; {
			again = false
			for _, value := range smallerValues(c[i].Value) {
				smaller := slices.Clone(c)
				smaller[i].Value = value
				if differs(smaller) {
					c, again = smaller, true
					break
				}
			}
		}
	}
	return c
}

// smallerValues drops one item of the list at a value's end.
func smallerValues(value string) (list []string) {
	at := strings.LastIndexByte(value, ':') + 1
	items := strings.Split(value[at:], ",")
	if len(items) < 2 {
		return nil
	}
	for i := range items {
		list = append(list, value[:at]+strings.Join(slices.Delete(slices.Clone(items), i, i+1), ","))
	}
	return list
}

var callNumber = regexp.MustCompile(`^\d+ `)

// signature tells differences of one cause from those of another, more or less.
func signature(d difference) string {
	return callNumber.ReplaceAllString(d.Key, "") + "|" + d.Orlop + "|" + d.Runc
}
