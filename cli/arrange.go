package cli

import (
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

// A line is the part of a command line that belongs to the program itself or to one command.
type line struct {
	flags    []string // one word each, by the flag's first name: --force, --bundle=DIRECTORY
	operands []string
	pending  cli.Flag // the line ends with this flag and lacks its value
	literal  bool     // no flag can follow
}

// scan splits a line into flags and operands. Flags may follow operands, have one dash or two, and
// share a dash. With first, flags end at the first operand.
func scan(flags []cli.Flag, words []string, first bool) (l line) {
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		switch isFlag := len(word) > 1 && word[0] == '-'; {
		case word == "--":
			l.operands, l.literal = append(l.operands, words...), true
			return l
		case !isFlag && first:
			l.operands, l.literal = append([]string{word}, words...), true
			return l
		case !isFlag:
			l.operands = append(l.operands, word)
			continue
		}
		name, value, hasValue := strings.Cut(strings.TrimPrefix(word[1:], "-"), "=")
		f, letters := find(flags, name), ungroup(flags, word)
		switch {
		case f == nil && letters != nil:
			words = append(letters, words...)
		case f == nil:
			l.flags = append(l.flags, word) // the library refuses it
		case hasValue:
			l.flags = append(l.flags, "--"+f.Names()[0]+"="+value)
		case !takesValue(f):
			l.flags = append(l.flags, "--"+f.Names()[0])
		case len(words) == 0:
			l.flags, l.pending = append(l.flags, word), f
		default:
			l.flags, words = append(l.flags, "--"+f.Names()[0]+"="+words[0]), words[1:]
		}
	}
	return l
}

// arranged returns the line in the form that the library reads: it stops at the first operand, and
// refuses a flag that is given by both of its names.
//
//	delete box -f                       delete --force -- box
//	exec -te A=1 --env B=2 box sh -c x  exec --tty --env=A=1 --env=B=2 -- box sh -c x
func (l *line) arranged() []string {
	if l.pending != nil {
		return l.flags // the library says that it needs an argument
	}
	return slices.Concat(l.flags, []string{"--"}, l.operands)
}

// gives reports whether a flag is on the line.
func (l *line) gives(f cli.Flag) bool {
	return slices.ContainsFunc(l.flags, func(word string) bool {
		word, _, _ = strings.Cut(word, "=")
		return word == "--"+f.Names()[0]
	})
}

// asksForHelp reports whether the flags ask for help. The last one counts.
func (l *line) asksForHelp() (asks bool) {
	for _, word := range l.flags {
		if flag, value, given := strings.Cut(word, "="); flag == "--help" {
			on, _ := strconv.ParseBool(value)
			asks = on || !given
		}
	}
	return asks
}

// ungroup splits "-td" into "-t" and "-d". Only the last flag of a group may take a value. It
// returns nil for a word that is not a group.
func ungroup(flags []cli.Flag, word string) (letters []string) {
	group := word[1:]
	for i := range group {
		f := find(flags, group[i:i+1])
		if f == nil || takesValue(f) && i+1 < len(group) {
			return nil
		}
		letters = append(letters, "-"+group[i:i+1])
	}
	return letters
}

// find returns the flag with this name, long or short, or nil.
func find(flags []cli.Flag, name string) cli.Flag {
	i := slices.IndexFunc(flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
	if i < 0 {
		return nil
	}
	return flags[i]
}

func takesValue(f cli.Flag) bool { return f.(cli.DocGenerationFlag).TakesValue() }

// endsFlags reports whether a command's flags end at its first operand: what follows is for another
// program.
func endsFlags(command string) bool {
	return command == "exec" || command == "ps" || command == "completion" || isHelp(command)
}

// A named flag keeps its names. The library otherwise finds them by a regular expression, some
// hundred times in a call: that costs an exec 0.2 ms.
type named struct {
	documented
	names []string
}

// documented is what the library's own flags implement.
type documented interface {
	cli.DocGenerationFlag
	cli.CategorizableFlag
}

func (n *named) Names() []string { return n.names }

// original returns the flag of a named one.
func original(f cli.Flag) cli.Flag {
	if n, ok := f.(*named); ok {
		return n.documented
	}
	return f
}

// withNames returns the flags as named ones.
func withNames(flags []cli.Flag) []cli.Flag {
	for i, f := range flags {
		flags[i] = &named{f.(documented), f.Names()}
	}
	return flags
}
