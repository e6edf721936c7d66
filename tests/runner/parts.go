package main

import (
	"regexp"
	"slices"
	"strings"
)

// testsAtOnce is how many tests of a long package one process, or one guest, gets.
const testsAtOnce = 40

// wholeNames is what of a pattern for -run is matched with the names of tests, and not of their
// subtests.
func wholeNames(run string) string {
	pattern, _, _ := strings.Cut(run, "/")
	if pattern == "" {
		return "."
	}
	return pattern
}

// testNames takes the names of tests from what -list prints.
func testNames(printed string) []string {
	return slices.DeleteFunc(strings.Fields(printed), func(word string) bool {
		return !strings.HasPrefix(word, "Test") && !strings.HasPrefix(word, "Fuzz") && !strings.HasPrefix(word, "Example")
	})
}

// parts deals out tests, no more than most to each part.
func parts(tests []string, most int) [][]string {
	dealt := make([][]string, (len(tests)+most-1)/most)
	for i, name := range tests {
		dealt[i%len(dealt)] = append(dealt[i%len(dealt)], name)
	}
	return dealt
}

// only is the pattern for -run that matches these tests, and what a pattern demands of their
// subtests.
func only(tests []string, run string) string {
	quoted := make([]string, len(tests))
	for i, name := range tests {
		quoted[i] = regexp.QuoteMeta(name)
	}
	pattern := "^(" + strings.Join(quoted, "|") + ")$"
	if _, subtests, ok := strings.Cut(run, "/"); ok {
		pattern += "/" + subtests
	}
	return pattern
}
