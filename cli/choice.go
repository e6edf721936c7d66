package cli

import (
	"errors"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// A choice is the value of a flag that takes one of a few words. The first word is the default.
type choice struct {
	words []string
	word  string
	// parse takes the word. It reports whether the word is known, which may have further spellings
	// than words; nil takes words alone.
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

// wordsOf returns the words that a flag's value can be, none if it is no choice.
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
