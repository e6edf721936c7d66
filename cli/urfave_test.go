package cli

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	urfave "github.com/urfave/cli/v2"
)

// FuzzParse compares with urfave/cli on command lines whose words end with NUL, as /proc/PID/cmdline has them: both refuse
// one, or both take it for the same.
func FuzzParse(f *testing.F) {
	urfave.HelpFlag = nil // it is one as others: what help prints is ours
	for _, tc := range lines() {
		f.Add(strings.ReplaceAll(tc.line, " ", "\x00"))
	}
	for _, line := range []string{
		"exec|-e| A =1,2 |--env|\xff|-c| x ,y |--cgroup|\t/a |box|true", "||state|", "run|--bundle||--preserve-fds|-0b11|x",
		"stats|-interval|-1h2.5m3s|--interval=1ns|--no-stream=T", "update|--memory|-1|--cpu-quota=-1|--resources|-|x",
		"--log-format|xml|--log-level=|list|--format|none|-q=F|x", "h|--help=TRUE|state|--help",
	} {
		f.Add(strings.ReplaceAll(line, "|", "\x00"))
	}
	f.Fuzz(func(t *testing.T, text string) {
		compare(t, strings.Split(text, "\x00"))
	})
}

// TestParseOfAny compares with urfave/cli on lines of words that have a meaning, of which the fuzzer makes few.
func TestParseOfAny(t *testing.T) {
	urfave.HelpFlag = nil
	p, random, accepted := new(program), rand.New(rand.NewPCG(1, 2)), 0
	values := []string{"", "-", "--", "a", "help", "-h", "--help=0", "1", "-1", "1s", "=", "--nosuch", "---", "=x", "list", "\xff", " b "}
	pick := func(list []string) string { return list[random.IntN(len(list))] }
	words := func(c *command) []string {
		list := []string{pick(values)}
		if len(c.flags) > 0 {
			list = append(list, pick(c.flags[random.IntN(len(c.flags))].names()))
		}
		word := pick(list)
		switch {
		case random.IntN(8) == 0:
			return []string{strings.TrimPrefix(word, "-")}
		case strings.HasPrefix(word, "-") && random.IntN(2) == 0:
			return []string{word + "=" + pick(values)}
		}
		return []string{word, pick(values)}[:1+random.IntN(2)]
	}
	for range 4000 {
		table := builders()
		b := &table[random.IntN(len(table))]
		var line []string
		for range random.IntN(3) {
			line = append(line, words(p.mainCommand())...)
		}
		line = append(line, b.name)
		for range random.IntN(6) {
			line = append(line, words(b.build(p))...)
		}
		if compare(t, line) {
			accepted++
		}
	}
	if accepted < 1000 {
		t.Errorf("%d lines were accepted", accepted)
	}
}

// compare reads a line in both ways, and returns whether it is accepted.
func compare(t *testing.T, line []string) bool {
	t.Helper()
	got, err := ours(line)
	want, wantErr := urfaves(line)
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%q: %v, urfave/cli: %v", line, err, wantErr)
	}
	if err == nil && !slices.Equal(got, want) {
		t.Errorf("%q:\n got %q\nwant %q", line, got, want)
	}
	return err == nil
}

// ours reads a command line by parse. What it was understood as is the values of all flags, the command's name, and the operands.
func ours(line []string) ([]string, error) {
	p := new(program)
	global, err := p.mainCommand().parse(line)
	if err != nil {
		return nil, err
	}
	understood := valuesOf(global.command, global)
	if c := p.command(global.First()); c != nil {
		args, err := c.parse(global.Tail())
		if err != nil {
			return nil, err
		}
		understood = append(append(understood, c.name), valuesOf(c, args)...)
		return append(understood, args.Operands()...), nil
	}
	return append(understood, global.Operands()...), nil
}

// urfaves is ours by urfave/cli.
func urfaves(line []string) (understood []string, err error) {
	app := urfaveApp(func(c *command, ctx *urfave.Context) {
		understood = append(append(understood, c.name), valuesOf(c, ctx)...)
		understood = append(understood, ctx.Args().Slice()...)
	})
	main := new(program).mainCommand()
	app.Before = func(ctx *urfave.Context) error {
		understood = valuesOf(main, ctx)
		return nil
	}
	app.Action = func(ctx *urfave.Context) error {
		understood = append(understood, ctx.Args().Slice()...)
		return nil
	}
	if line, err = arrange(app, line); err == nil {
		err = app.Run(line)
	}
	return understood, err
}

// getter is what arguments and urfave's context have in common.
type getter interface {
	IsSet(name string) bool
	Bool(name string) bool
	String(name string) string
	Int(name string) int
	StringSlice(name string) []string
}

// valuesOf returns the values of all flags of a command.
func valuesOf(c *command, g getter) (list []string) {
	for _, f := range append(slices.Clone(c.flags), *helpFlag()) {
		var value any
		switch f.kind {
		case kindBool:
			value = g.Bool(f.name)
		case kindInt:
			value = g.Int(f.name)
		case kindStrings:
			words := slices.Clone(g.StringSlice(f.name))
			for i := range words {
				words[i] = string([]rune(words[i])) // urfave/cli passes flags with two names through JSON
			}
			value = words
		case kindDuration:
			switch g := g.(type) {
			case *arguments:
				value = g.Duration(f.name)
			case *urfave.Context:
				value = g.Duration(f.name)
			}
		default:
			value = g.String(f.name)
		}
		list = append(list, fmt.Sprintf("--%s=%q %v", f.name, value, g.IsSet(f.name)))
	}
	return list
}

// urfaveApp declares the command line to urfave/cli. A command calls do.
func urfaveApp(do func(*command, *urfave.Context)) *urfave.App {
	p := new(program)
	commands := []*command{p.helpCommand()}
	for _, b := range builders() {
		commands = append(commands, b.command(p))
	}
	app := &urfave.App{
		Name: name, Flags: urfaveFlags(p.mainCommand()), HideHelp: true, HideVersion: true, DisableSliceFlagSeparator: true,
		OnUsageError: urfaveError, ExitErrHandler: func(*urfave.Context, error) {}, Writer: io.Discard, ErrWriter: io.Discard,
	}
	for _, c := range commands {
		declared := &urfave.Command{Name: c.name, Flags: urfaveFlags(c), HideHelp: true, OnUsageError: urfaveError}
		declared.Action = func(ctx *urfave.Context) error {
			do(c, ctx)
			return nil
		}
		if c.name == "help" {
			declared.Aliases = []string{"h"}
		}
		app.Commands = append(app.Commands, declared)
	}
	return app
}

func urfaveError(_ *urfave.Context, err error, _ bool) error { return err }

func urfaveFlags(c *command) (list []urfave.Flag) {
	for _, f := range append(slices.Clone(c.flags), *helpFlag()) {
		var short []string
		if f.short != "" {
			short = []string{f.short}
		}
		switch f.kind {
		case kindBool:
			list = append(list, &urfave.BoolFlag{Name: f.name, Aliases: short})
		case kindInt:
			list = append(list, &urfave.IntFlag{Name: f.name, Aliases: short, Value: initial(&f).Int(f.name)})
		case kindDuration:
			list = append(list, &urfave.DurationFlag{Name: f.name, Aliases: short, Value: initial(&f).Duration(f.name)})
		case kindStrings:
			list = append(list, &urfave.StringSliceFlag{Name: f.name, Aliases: short, KeepSpace: f.keepSpace})
		default:
			list = append(list, &urfave.StringFlag{Name: f.name, Aliases: short, Value: f.initial})
		}
	}
	return list
}

// initial returns arguments in which a flag is not given.
func initial(f *flag) *arguments {
	return &arguments{command: &command{flags: []flag{*f}}}
}

// arrange brings a command line into the form that urfave/cli parses as we do, which takes flags before operands only, and
// refuses two forms of one flag:
//
//	delete box -f             ->  orlop -- delete --force -- box
//	exec -e A=1 --env B=2 box sh -c id  ->  orlop -- exec --env=A=1 --env=B=2 -- box sh -c id
//	exec -td box sh  ->  orlop -- exec --tty --detach -- box sh
func arrange(app *urfave.App, line []string) ([]string, error) {
	flags, rest, err := splitFlags(app.Flags, line, true)
	if err != nil {
		return nil, err
	}
	out := append(append([]string{name}, flags...), "--")
	if len(rest) == 0 {
		return out, nil
	}
	out = append(out, rest[0])
	command := app.Command(rest[0])
	if command == nil {
		return append(out, rest[1:]...), nil
	}
	stop := slices.Contains([]string{"exec", "ps", "completion", "help"}, command.Name)
	if flags, rest, err = splitFlags(command.Flags, rest[1:], stop); err != nil {
		return nil, err
	}
	out = append(out, flags...)
	return append(append(out, "--"), rest...), nil
}

// splitFlags splits a command line into its flags, by their first names, and its operands. With stop all from the first operand on
// belongs to the latter.
func splitFlags(known []urfave.Flag, line []string, stop bool) (flags, rest []string, err error) {
	for i := 0; i < len(line); i++ {
		word := line[i]
		switch {
		case word == "--":
			return flags, append(rest, line[i+1:]...), nil
		case len(word) < 2 || word[0] != '-':
			if stop {
				return flags, append(rest, line[i:]...), nil
			}
			rest = append(rest, word)
			continue
		}
		given, value, hasValue := strings.Cut(strings.TrimPrefix(word[1:], "-"), "=")
		j := slices.IndexFunc(known, func(f urfave.Flag) bool { return slices.Contains(f.Names(), given) })
		if letters := lettersOf(known, word); j < 0 && letters != nil {
			line = append(letters, line[i+1:]...)
			i = -1
			continue
		}
		if j < 0 {
			flags = append(flags, word) // which urfave/cli will refuse
			continue
		}
		long := "--" + known[j].Names()[0]
		_, isBool := known[j].(*urfave.BoolFlag)
		switch {
		case hasValue:
			flags = append(flags, long+"="+value)
		case isBool:
			flags = append(flags, long)
		case i+1 == len(line):
			return nil, nil, fmt.Errorf("flag needs an argument: -%s", given)
		default:
			i++
			flags = append(flags, long+"="+line[i])
		}
	}
	return flags, rest, nil
}

// lettersOf splits a group of short names, nil if the word is none. urfave/cli itself takes the rest of a group for a flag's value.
func lettersOf(known []urfave.Flag, word string) (letters []string) {
	if len(word) < 3 || word[1] == '-' {
		return nil
	}
	for i, letter := range []byte(word[1:]) {
		j := slices.IndexFunc(known, func(f urfave.Flag) bool { return slices.Contains(f.Names(), string([]byte{letter})) })
		if j < 0 {
			return nil
		}
		if _, isBool := known[j].(*urfave.BoolFlag); !isBool && i+2 < len(word) {
			return nil
		}
		letters = append(letters, string([]byte{'-', letter}))
	}
	return letters
}
