package cli

import (
	"slices"
	"strings"
)

// choiceOf makes a flag one whose value is one of a few words. They stand here once, for its help, its check and its completion. The
// first one is the initial value if the flag has no other.
func choiceOf(f flag, words ...string) flag {
	f.kind, f.words = kindChoice, words
	if f.initial == "" {
		f.initial = words[0]
	}
	return f
}

// formatFlag is the flag of a command that prints in several forms.
func formatFlag(words ...string) flag {
	return choiceOf(flag{name: "format", short: "f", usage: "`FORMAT` of the output"}, words...)
}

// choice returns the value of a flag, which must be one of its words.
func choice(args *arguments, flag string) (string, error) {
	value, words := args.String(flag), args.command.flag(flag).words
	if slices.Contains(words, value) {
		return value, nil
	}
	return "", args.command.usagef("--%s %q: must be %s", flag, value, alternatives(words))
}

// alternatives writes "a, b or c".
func alternatives(words []string) string {
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
