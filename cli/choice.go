package cli

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// A choiceFlag is a flag whose value is one of a few words. They stand here once, for its help, its check and its completion.
type choiceFlag struct {
	*cli.StringFlag
	words []string
}

// choiceOf makes such a flag. The words are added to its usage; the first one is the default if the flag has no other.
func choiceOf(f *cli.StringFlag, words ...string) cli.Flag {
	f.Usage += ": " + alternatives(words)
	if f.Value == "" {
		f.Value = words[0]
	}
	return &choiceFlag{f, words}
}

// formatFlag is the flag of a command that prints in several forms.
func formatFlag(words ...string) cli.Flag {
	return choiceOf(&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: "`FORMAT` of the output"}, words...)
}

// choice returns the value of a flag, which must be one of its words.
func choice(c *cli.Context, flag string) (string, error) {
	value, words := c.String(flag), wordsOf(findFlag(c.Command.Flags, flag))
	if slices.Contains(words, value) {
		return value, nil
	}
	command := c.Command.Name + ": "
	if c.Command.Name == name { // a flag of the program's
		command = ""
	}
	return "", usagef("%s--%s %q: must be %s", command, flag, value, alternatives(words))
}

// wordsOf returns the words that a flag takes, none where it takes others, too.
func wordsOf(f cli.Flag) []string {
	if q, ok := f.(quickFlag); ok {
		f = q.anyFlag
	}
	if f, ok := f.(*choiceFlag); ok {
		return f.words
	}
	return nil
}

// alternatives writes "a, b or c".
func alternatives(words []string) string {
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
