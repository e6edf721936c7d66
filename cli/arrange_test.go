package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// arranged returns a command line in the form that the library reads, and the library's error.
func arranged(line []string) (string, error) {
	p := &program{log: newLogger(io.Discard)}
	app := p.newApp()
	app.Before, app.Action, app.Writer = nil, func(*cli.Context) error { return nil }, io.Discard
	args := p.arrange(app, line)
	for _, c := range app.Commands {
		c.Action = app.Action
	}
	return strings.Join(args[1:], " "), app.Run(args)
}

// lines are command lines and what the library reads; want begins with "!" for an error.
func lines() []struct{ line, want string } {
	return []struct{ line, want string }{
		{"", "--"},
		{"state a", "-- state -- a"},
		{"-root /r -debug state a", "--root=/r --debug -- state -- a"},
		{"--root=/r --systemd-cgroup=false state a", "--root=/r --systemd-cgroup=false -- state -- a"},
		{"-v", "--version --"},
		{"delete a -f", "-- delete --force -- a"},
		{"kill a KILL --all", "-- kill --all -- a KILL"},
		{"kill -- a -1", "-- kill -- a -1"},
		{"create -b B a --pid-file=p", "-- create --bundle=B --pid-file=p -- a"},
		{"run a -d --bundle B", "-- run --detach --bundle=B -- a"},
		{"run --bundle -- a", "-- run --bundle=-- -- a"},
		{"run --bundle= a --pid-file -d", "-- run --bundle= --pid-file=-d -- a"},
		{"run a=b --bundle=c=d", "-- run --bundle=c=d -- a=b"},
		{"state - a", "-- state -- - a"},
		{"state a -- b -c -- d", "-- state -- a b -c -- d"},
		{"-- state -- a", "-- state -- a"},
		// What follows an exec's container is the command's own.
		{"exec -t a sh -c id", "-- exec --tty -- a sh -c id"},
		{"exec -e A=1 --env B=-2 a env -e", "-- exec --env=A=1 --env=B=-2 -- a env -e"},
		{"exec -- a ls -- -l", "-- exec -- a ls -- -l"},
		{"exec a -- ls", "-- exec -- a -- ls"},
		// Short names in one word: switches, and at the end a flag with a value.
		{"exec -td a sh", "-- exec --tty --detach -- a sh"},
		{"exec -it a sh", "-- exec --interactive --tty -- a sh"},
		{"exec -tde A=1 a sh -td", "-- exec --tty --detach --env=A=1 -- a sh -td"},
		{"run -db B a", "-- run --detach --bundle=B -- a"},
		{"run a -bd", "!run: flag provided but not defined: -bd"},
		{"exec -tx a", "!exec: flag provided but not defined: -tx"},
		{"exec --td a", "!exec: flag provided but not defined: -td"},
		{"exec -td=true a", "!exec: flag provided but not defined: -td"},
		{"exec -g 1 -additional-gids=2 -u 0:0 a id", "-- exec --additional-gids=1 --additional-gids=2 --user=0:0 -- a id"},
		// And what follows a ps's is for ps(1).
		{"ps -f json a", "-- ps --format=json -- a"},
		{"ps --format table a -o pid,comm -e", "-- ps --format=table -- a -o pid,comm -e"},
		{"completion words run --b", "-- completion -- words run --b"},
		{"events a --interval 1s --stats", "-- events --interval=1s --stats -- a"},
		{"stats a b --no-stream", "-- stats --no-stream -- a b"},
		// Help is a flag of all commands, and a command.
		{"exec --help", "-- exec --help --"},
		{"state a -h", "-- state --help --"},
		{"-h --help state", "--help --help -- state --"},
		{"state --help=0 help", "-- state --help=0 -- help"},
		{"state --help=true help", "-- state --help=true --"},
		{"state -h=1 --help=false help", "-- state --help=1 --help=false -- help"},
		{"help state -x", "-- help -- state -x"},
		{"nosuch --x a", "-- nosuch --x a"},
		{"-- --version", "-- --version"},
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

func TestArrange(t *testing.T) {
	for _, tc := range lines() {
		got, err := arranged(strings.Fields(tc.line))
		if err != nil {
			got = "!" + err.Error()
		}
		if got != tc.want {
			t.Errorf("%q:\n got %q\nwant %q", tc.line, got, tc.want)
		}
	}
}

// FuzzArrange arranges command lines whose words end with NUL, as in /proc/PID/cmdline. An arranged
// line does not change when it is arranged again, and the library accepts or refuses it like the
// original.
func FuzzArrange(f *testing.F) {
	for _, tc := range lines() {
		f.Add(strings.ReplaceAll(tc.line, " ", "\x00"))
	}
	f.Fuzz(func(t *testing.T, text string) {
		line := strings.Split(text, "\x00")
		p := new(program)
		once := p.arrange(p.newApp(), line)[1:]
		if twice := p.arrange(p.newApp(), once)[1:]; !slices.Equal(once, twice) {
			t.Errorf("%q: %q, arranged again %q", line, once, twice)
		}
		_, err := arranged(line)
		if _, again := arranged(once); fmt.Sprint(err) != fmt.Sprint(again) {
			t.Errorf("%q: %v, arranged again %v", line, err, again)
		}
	})
}

// TestValues: the last of several values counts, except in a list. A flag that is not given has its
// default.
func TestValues(t *testing.T) {
	for _, tc := range []struct{ line, want string }{
		{"exec box sh", `false "" 0 "" [] [] []`},
		{"exec -t --user= --preserve-fds=0x10 -g 1,2 --cgroup cpu,memory:a -e A=1,2 box sh", `true "" 16 "" [1,2] [A=1,2] [cpu,memory:a]`},
		{"exec -t --tty=false --cwd a -cwd=b=c --preserve-fds -1 -g 1 --additional-gids 2 -e A=1 --env B -e C box sh", `false "b=c" -1 "" [1 2] [A=1 B C] []`},
		{"events box", "5s"},
		{"events --interval 1m box", "1m0s"},
		{"list", `"table"`},
		{"list -f json", `"json"`},
	} {
		var got string
		err := inCommand(t, strings.Fields(tc.line), func(_ *program, ctx *cli.Context) error {
			switch ctx.Command.Name {
			case "exec":
				got = fmt.Sprintf("%v %q %d %q %v %v %v", ctx.Bool("tty"), ctx.String("cwd"), ctx.Int("preserve-fds"), ctx.String("user"),
					allOf(ctx, "additional-gids"), allOf(ctx, "env"), allOf(ctx, "cgroup"))
			case "events":
				got = ctx.Duration("interval").String()
			case "list":
				got = fmt.Sprintf("%q", ctx.String("format"))
			}
			return nil
		})
		if err != nil || got != tc.want {
			t.Errorf("%q: %s, %v, want %s", tc.line, got, err, tc.want)
		}
	}
}

// TestOneCommandIsBuilt: a call declares its own command only.
func TestOneCommandIsBuilt(t *testing.T) {
	p := new(program)
	for _, c := range constructors() {
		app := p.newApp()
		p.arrange(app, []string{"--root", "/r", c.name, "x"})
		if isHelp(c.name) {
			continue // declares all
		}
		if got := app.Commands[0].Name; got != c.name || len(app.Commands) != 1 {
			t.Errorf("%s: built %s and %d more", c.name, got, len(app.Commands)-1)
		}
	}
	for _, line := range [][]string{nil, {"help"}, {"nosuch"}, {"--help"}} {
		app := p.newApp()
		if p.arrange(app, line); len(app.Commands) != len(constructors()) {
			t.Errorf("%q: %d commands", line, len(app.Commands))
		}
	}
}

// TestFlagsAreWhole: names are unique, and flags with a value name it for help.
func TestFlagsAreWhole(t *testing.T) {
	app := App("")
	check := func(name string, flags []cli.Flag) {
		flags = slices.DeleteFunc(flags, func(f cli.Flag) bool { return f == cli.HelpFlag })
		seen := map[string]bool{"help": true, "h": true}
		for _, f := range flags {
			for _, flagName := range f.Names() {
				if seen[flagName] {
					t.Errorf("%s: -%s is there twice", name, flagName)
				}
				seen[flagName] = true
			}
			if _, value, _ := Usage(f.(cli.DocGenerationFlag)); (value != "") != takesValue(f) {
				t.Errorf("%s: --%s: the name of its value is %q", name, f.Names()[0], value)
			}
		}
	}
	check(app.Name, app.Flags)
	for _, c := range app.Commands {
		check(c.Name, c.Flags)
	}
}
