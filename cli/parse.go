package cli

import (
	"slices"
	"strings"
)

// parse reads what stands behind the command's name, as users of runc write it: flags may follow operands, names may have one
// dash or two, and the last of two flags of one name counts.
//
//	-t --env A=1 -e B=2 --preserve-fds=3 box sh -c id
//	-tde A=1 box sh -c id
//
// "--" ends the flags. What is wrong is said in the words of Go's package flag: Podman looks for "flag needs an argument".
func (c *command) parse(line []string) (*arguments, error) {
	args := &arguments{command: c}
	for i := 0; i < len(line); i++ {
		word := line[i]
		switch {
		case word == "--":
			args.operands = append(args.operands, line[i+1:]...)
			return args, nil
		case isOperand(word) && c.othersFlags:
			args.operands = line[i:]
			return args, nil
		case isOperand(word):
			args.operands = append(args.operands, word)
			continue
		}
		given, value, hasValue := cutFlag(word)
		if given == "" || given[0] == '-' {
			return nil, c.usagef("bad flag syntax: %s", word)
		}
		f := c.flag(given)
		if letters := c.ungroup(word); f == nil && letters != nil {
			line = slices.Concat(line[:i], letters, line[i+1:])
			i--
			continue
		}
		if f == nil {
			return nil, c.usagef("flag provided but not defined: -%s", given)
		}
		switch {
		case hasValue:
		case !f.takesValue():
			value = "true"
		case i+1 == len(line):
			return nil, c.usagef("flag needs an argument: -%s", given)
		default:
			i++
			value = line[i]
		}
		if err := args.set(f, value); err != nil {
			return nil, err
		}
	}
	return args, nil
}

// isOperand reports whether a word is no flag: a single dash is none.
func isOperand(word string) bool { return len(word) < 2 || word[0] != '-' }

// cutFlag returns a flag's name and the value that stands with it.
func cutFlag(word string) (given, value string, hasValue bool) {
	return strings.Cut(strings.TrimPrefix(word[1:], "-"), "=")
}

// ungroup splits "-td" into "-t" and "-d": switches by their short names, of which the last may also be a flag with a value. It returns
// nil for a word that is no such group.
func (c *command) ungroup(word string) (letters []string) {
	group, ok := strings.CutPrefix(word, "-")
	if !ok || len(group) < 2 {
		return nil
	}
	for i := range group {
		f := c.flag(group[i : i+1])
		if f == nil || f.takesValue() && i+1 < len(group) {
			return nil
		}
		letters = append(letters, "-"+group[i:i+1])
	}
	return letters
}
