package cli

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// arrange brings a command line into the one form that urfave/cli parses without surprises:
//
//	orlop delete box -f             ->  orlop delete --force -- box
//	orlop exec -e A=1 --env B=2 box sh -c id  ->  orlop exec --env A=1 --env B=2 -- box sh -c id
//
// Users of runc may put flags behind the arguments, but for commands where what follows the first one is another program's. Of a
// flag's names the first one is used, since urfave/cli refuses two forms of one flag.
func arrange(app *cli.App, args []string) ([]string, error) {
	if len(args) == 0 {
		return []string{name}, nil
	}
	flags, rest, err := splitFlags(app.Flags, args[1:], true)
	if err != nil {
		return nil, err
	}
	out := append([]string{args[0]}, flags...)
	if len(rest) == 0 {
		return out, nil
	}
	out = append(out, rest[0])
	command := app.Command(rest[0])
	if command == nil {
		return append(out, rest[1:]...), nil
	}
	flags, rest, err = splitFlags(command.Flags, rest[1:], othersFlags(command.Name))
	if err != nil {
		return nil, usagef("%s: %v", command.Name, err)
	}
	out = append(out, flags...)
	return append(append(out, "--"), rest...), nil
}

// othersFlags reports whether what follows the first argument of a command is another program's, also what looks like a flag.
func othersFlags(command string) bool {
	return command == "exec" || command == "ps" || command == "completion"
}

// splitFlags splits a command line into its flags, by their first names, and its other arguments. With stop all from the
// first argument on belongs to the latter.
func splitFlags(known []cli.Flag, args []string, stop bool) (flags, rest []string, err error) {
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--":
			return flags, append(rest, args[i+1:]...), nil
		case len(arg) < 2 || arg[0] != '-':
			if stop {
				return flags, append(rest, args[i:]...), nil
			}
			rest = append(rest, arg)
			continue
		}
		given, value, hasValue := strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
		f := findFlag(known, given)
		if f == nil {
			flags = append(flags, arg) // --help, or one that the parser will refuse
			continue
		}
		long := "--" + f.Names()[0]
		if hasValue {
			flags = append(flags, long+"="+value)
			continue
		}
		if isBool(f) {
			flags = append(flags, long)
			continue
		}
		if i++; i == len(args) {
			return nil, nil, usagef("flag needs an argument: -%s", given)
		}
		flags = append(flags, long+"="+args[i])
	}
	return flags, rest, nil
}

func findFlag(known []cli.Flag, given string) cli.Flag {
	for _, f := range known {
		if slices.Contains(f.Names(), given) {
			return f
		}
	}
	return nil
}
