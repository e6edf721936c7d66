package main

import (
	"fmt"
	"strings"
)

// A Feature is one way in which a case differs from an ordinary container: a kind of the
// vocabulary, and a value that this kind understands. It is written kind=value, with ~ for a blank.
type Feature struct{ Kind, Value string }

func (f Feature) String() string { return strings.ReplaceAll(f.Kind+"="+f.Value, " ", "~") }

// A Case is a container's configuration, its image, its caller and the commands that are called for
// it, as what sets them apart from an ordinary one. The features apply in their order.
type Case []Feature

func (c Case) String() string {
	words := make([]string, len(c))
	for i, f := range c {
		words[i] = f.String()
	}
	return strings.Join(words, " ")
}

// parseCase reads what String wrote.
func parseCase(text string) (Case, error) {
	var c Case
	for word := range strings.FieldsSeq(text) {
		kind, value, ok := strings.Cut(strings.ReplaceAll(word, "~", " "), "=")
		if _, known := vocabulary()[kind]; !ok || !known {
			return nil, fmt.Errorf("no feature %q", word)
		}
		c = append(c, Feature{kind, value})
	}
	return c, nil
}
