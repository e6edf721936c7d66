package cli

import (
	"errors"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// A choice is the value of a flag that accepts a few words.
type choice struct {
	words []string
	word  string // at first the default: words[0] if it is empty
	// parse stores the word, and reports whether it is valid. It may accept other spellings, too.
	// nil accepts words only.
	parse func(word string) bool
}

func (c *choice) String() string { return c.word }

func (c *choice) Set(word string) error {
	known := slices.Contains(c.words, word)
	if c.parse != nil {
		known = c.parse(word)
	}
	if !known {
		return errors.New("must be " + alternatives(c.words))
	}
	c.word = word
	return nil
}

// choiceFlag returns a flag for a choice. Its help ends with the words.
func choiceFlag(flag cli.GenericFlag, c choice) cli.Flag {
	if c.word == "" {
		c.word = c.words[0]
	}
	flag.Value = &c
	flag.Usage += ": " + alternatives(c.words)
	return &flag
}

// wordsOf returns the words that a flag accepts, or nil if its value is not a choice.
func wordsOf(f cli.Flag) []string {
	if flag, ok := original(f).(*cli.GenericFlag); ok {
		if c, ok := flag.Value.(*choice); ok {
			return c.words
		}
	}
	return nil
}

// formatFlag is the flag of a command that prints in several formats.
func formatFlag(words ...string) cli.Flag {
	return choiceFlag(cli.GenericFlag{Name: "format", Aliases: []string{"f"}, Usage: "print in this `FORMAT`"}, choice{words: words})
}

// alternatives writes "a, b or c".
func alternatives(words []string) string {
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
