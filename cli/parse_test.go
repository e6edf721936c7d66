package cli

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// canonical writes a command line as it was understood, in its plainest form: long names, flags in their order, then the operands.
func canonical(line []string) (string, error) {
	p := new(program)
	global, err := p.mainCommand().parse(line)
	if err != nil {
		return "", err
	}
	words := settingsOf(global)
	if global.NArg() == 0 {
		return strings.Join(words, " "), nil
	}
	words = append(words, global.First())
	c := p.command(global.First())
	if c == nil {
		return strings.Join(append(words, global.Tail()...), " "), nil
	}
	args, err := c.parse(global.Tail())
	if err != nil {
		return "", err
	}
	words = append(append(words, settingsOf(args)...), "--")
	return strings.Join(append(words, args.Operands()...), " "), nil
}

func settingsOf(args *arguments) (words []string) {
	for _, s := range args.settings {
		word := "--" + s.flag.name
		if s.flag.kind != kindBool || s.value != "true" {
			word += "=" + s.value
		}
		words = append(words, word)
	}
	return words
}

// lines are command lines and how they are understood; want begins with "!" for an error.
func lines() []struct{ line, want string } {
	return []struct{ line, want string }{
		{"", ""},
		{"state a", "state -- a"},
		{"-root /r -debug state a", "--root=/r --debug state -- a"},
		{"--root=/r --systemd-cgroup=false state a", "--root=/r --systemd-cgroup=false state -- a"},
		{"-v", "--version"},
		{"delete a -f", "delete --force -- a"},
		{"kill a KILL --all", "kill --all -- a KILL"},
		{"kill -- a -1", "kill -- a -1"},
		{"create -b B a --pid-file=p", "create --bundle=B --pid-file=p -- a"},
		{"run a -d --bundle B", "run --detach --bundle=B -- a"},
		{"run --bundle -- a", "run --bundle=-- -- a"},
		{"run --bundle= a --pid-file -d", "run --bundle= --pid-file=-d -- a"},
		{"run a=b --bundle=c=d", "run --bundle=c=d -- a=b"},
		{"state - a", "state -- - a"},
		{"state a -- b -c -- d", "state -- a b -c -- d"},
		{"-- state -- a", "state -- a"},
		// What follows an exec's container is the command's own.
		{"exec -t a sh -c id", "exec --tty -- a sh -c id"},
		{"exec -e A=1 --env B=-2 a env -e", "exec --env=A=1 --env=B=-2 -- a env -e"},
		{"exec -- a ls -- -l", "exec -- a ls -- -l"},
		{"exec a -- ls", "exec -- a -- ls"},
		// Short names in one word: switches, and at the end a flag with a value.
		{"exec -td a sh", "exec --tty --detach -- a sh"},
		{"exec -it a sh", "exec --interactive --tty -- a sh"},
		{"exec -tde A=1 a sh -td", "exec --tty --detach --env=A=1 -- a sh -td"},
		{"run -db B a", "run --detach --bundle=B -- a"},
		{"run a -bd", "!run: flag provided but not defined: -bd"},
		{"exec -tx a", "!exec: flag provided but not defined: -tx"},
		{"exec --td a", "!exec: flag provided but not defined: -td"},
		{"exec -td=true a", "!exec: flag provided but not defined: -td"},
		{"exec -g 1 -additional-gids=2 -u 0:0 a id", "exec --additional-gids=1 --additional-gids=2 --user=0:0 -- a id"},
		// And what follows a ps's is for ps(1).
		{"ps -f json a", "ps --format=json -- a"},
		{"ps --format table a -o pid,comm -e", "ps --format=table -- a -o pid,comm -e"},
		{"completion words run --b", "completion -- words run --b"},
		{"events a --interval 1s --stats", "events --interval=1s --stats -- a"},
		{"stats a b --no-stream", "stats --no-stream -- a b"},
		// Help is a flag of all commands, and a command.
		{"exec --help", "exec --help --"},
		{"state a -h", "state --help -- a"},
		{"-h --help state", "--help --help state --"},
		{"state --help=0 help", "state --help=0 -- help"},
		{"help state -x", "help -- state -x"},
		{"nosuch --x a", "nosuch --x a"},
		{"-- --version", "--version"},
		// What is wrong.
		{"state --nosuch a", "!state: flag provided but not defined: -nosuch"},
		{"--force delete a", "!flag provided but not defined: -force"},
		{"delete --root /r a", "!delete: flag provided but not defined: -root"},
		{"help --nosuch", "!help: flag provided but not defined: -nosuch"},
		{"state -é= a", "!state: flag provided but not defined: -é"},
		{"create a -b", "!create: flag needs an argument: -b"},
		{"--root", "!flag needs an argument: -root"},
		{"state ---x", "!state: bad flag syntax: ---x"},
		{"---", "!bad flag syntax: ---"},
		{"-=x list", "!bad flag syntax: -=x"},
		{"list --=", "!list: bad flag syntax: --="},
		{"delete -f=yes a", `!delete: invalid boolean value "yes" for -force: parse error`},
		{"state -h=x a", `!state: invalid boolean value "x" for -help: parse error`},
		{"run --preserve-fds= a", `!run: invalid value "" for flag -preserve-fds: parse error`},
		{"run --preserve-fds 1,5 a", `!run: invalid value "1,5" for flag -preserve-fds: parse error`},
		{"run --preserve-fds 9223372036854775808 a", `!run: invalid value "9223372036854775808" for flag -preserve-fds: value out of range`},
		{"events --interval 5 a", `!events: invalid value "5" for flag -interval: parse error`},
	}
}

func TestParse(t *testing.T) {
	for _, tc := range lines() {
		got, err := canonical(strings.Fields(tc.line))
		if err != nil {
			got = "!" + err.Error()
		}
		if got != tc.want {
			t.Errorf("%q:\n got %q\nwant %q", tc.line, got, tc.want)
		}
	}
}

// TestArguments: the last of two counts but in a list, and a flag that is not given has its initial value.
func TestArguments(t *testing.T) {
	c := &command{name: "x", flags: []flag{
		{kind: kindBool, name: "on", short: "o"},
		{kind: kindString, name: "text"},
		{kind: kindInt, name: "number", short: "n", initial: "7"},
		{kind: kindDuration, name: "time", initial: "5s"},
		{kind: kindStrings, name: "list", short: "l"},
		{kind: kindStrings, name: "spaces", keepSpace: true},
		choiceOf(flag{name: "word"}, "a", "b"),
	}}
	check := func(line []string, on bool, text string, number int, d time.Duration, word string, list, spaces, operands []string) {
		t.Helper()
		args, err := c.parse(line)
		if err != nil {
			t.Fatal(err)
		}
		if args.Bool("on") != on || args.String("text") != text || args.Int("number") != number || args.Duration("time") != d ||
			args.String("word") != word || !slices.Equal(args.StringSlice("list"), list) || !slices.Equal(args.StringSlice("spaces"), spaces) ||
			!slices.Equal(args.Operands(), operands) {
			t.Errorf("%q: %+v, %q", line, args.settings, args.operands)
		}
		for _, f := range c.flags {
			given := slices.ContainsFunc(line, func(word string) bool {
				word, _, _ = strings.Cut(strings.TrimLeft(word, "-"), "=")
				return word == f.name || word == f.short && word != ""
			})
			if args.IsSet(f.name) != given {
				t.Errorf("%q: --%s is set: %v", line, f.name, !given)
			}
		}
	}
	check(nil, false, "", 7, 5*time.Second, "a", nil, nil, nil)
	check([]string{"-o", "1", "--text", "", "-n=0x10", "--time=1m", "-l", " a ", "2", "--list", "b,c", "--spaces", " a "},
		true, "", 16, time.Minute, "a", []string{"a", "b,c"}, []string{" a "}, []string{"1", "2"})
	check([]string{"--on", "--on=false", "-text=a", "-text=b=c", "--number", "-1", "--word", "b", "", "--", "-o"},
		false, "b=c", -1, 5*time.Second, "b", nil, nil, []string{"", "-o"})
	defer func() {
		if recover() == nil {
			t.Error("a flag that the command lacks has a value")
		}
	}()
	args, _ := c.parse(nil)
	args.Bool("nosuch")
}

// TestCommandsAreThere: whatever stands around a command's name, the command is built.
func TestCommandsAreThere(t *testing.T) {
	p := new(program)
	for _, b := range builders() {
		global, err := p.mainCommand().parse([]string{"--root", "/r", b.name, "x"})
		if err != nil {
			t.Fatal(err)
		}
		if c := p.command(global.First()); c == nil || c.name != b.name {
			t.Errorf("no command %s", b.name)
		}
	}
	if p.command("nosuch") != nil || p.command("") != nil {
		t.Error("a command that there is not")
	}
}

// TestFlagsAreWhole: no name stands for two flags, flags with a value name it for help, and initial values are such as are taken.
func TestFlagsAreWhole(t *testing.T) {
	p := new(program)
	all := []*command{p.mainCommand(), p.helpCommand()}
	for _, b := range builders() {
		all = append(all, b.command(p))
	}
	for _, c := range all {
		seen := map[string]bool{"help": true, "h": true}
		for i := range c.flags {
			f := &c.flags[i]
			for _, name := range f.names() {
				name = strings.TrimLeft(name, "-")
				if seen[name] {
					t.Errorf("%s: -%s is there twice", c.name, name)
				}
				seen[name] = true
			}
			if (f.valueName() != "") != f.takesValue() {
				t.Errorf("%s: --%s: the name of its value is %q", c.name, f.name, f.valueName())
			}
			if (f.kind == kindChoice) != (f.words != nil) || f.kind == kindBool && f.initial != "" {
				t.Errorf("%s: --%s: %+v", c.name, f.name, *f)
			}
			if f.kind != kindBool && f.check(f.initial) != nil {
				t.Errorf("%s: --%s: %q is no value for it", c.name, f.name, f.initial)
			}
		}
	}
}
