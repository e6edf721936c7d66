package cli

import (
	"fmt"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"

	"github.com/orlop/orlop/libcontainer"
	"github.com/orlop/orlop/specconv"
)

// completeWords prints the completions of the last of the words, which follow the program's name.
// The library completes commands and operands, by their BashComplete. Flags and their values are
// completed here, from the same definitions.
func (p *program) completeWords(ctx *cli.Context, words []string) error {
	var before []string
	if last := len(words) - 1; last >= 0 {
		before, p.completing = words[:last], words[last]
	}
	app := p.newApp()
	app.Writer, app.EnableBashCompletion = ctx.App.Writer, true
	args := p.arrange(app, before)
	flags, l := app.Flags, scan(app.Flags, before, true)
	if len(l.operands) > 0 {
		called := l.operands[0]
		c := app.Command(called)
		if c == nil {
			return nil
		}
		flags, l = c.Flags, scan(c.Flags, l.operands[1:], endsFlags(called))
	}
	if p.completeFlag(ctx, flags, &l) {
		return nil
	}
	// The library does not complete after "--".
	args = slices.DeleteFunc(args, func(word string) bool { return word == "--" || word == "--help" })
	return app.Run(append(args, "--generate-bash-completion"))
}

// candidate prints a completion if it fits the word.
func (p *program) candidate(ctx *cli.Context, word, about string) {
	if strings.HasPrefix(word, p.completing) {
		fmt.Fprintf(ctx.App.Writer, "%s\t%s\n", word, about)
	}
}

// completeFlag completes a flag or its value. It reports whether the word is one.
func (p *program) completeFlag(ctx *cli.Context, flags []cli.Flag, l *line) bool {
	if l.pending != nil {
		p.completeValue(ctx, l.pending, "")
		return true
	}
	if l.literal || !strings.HasPrefix(p.completing, "-") {
		return false
	}
	if name, _, hasValue := strings.Cut(p.completing, "="); hasValue {
		if f := find(flags, strings.TrimLeft(name, "-")); f != nil && takesValue(f) {
			p.completeValue(ctx, f, name+"=")
		}
		return true
	}
	for _, f := range flags {
		if !l.gives(f) || repeats(f) {
			before, value, after := Usage(f.(cli.DocGenerationFlag))
			p.candidate(ctx, "--"+f.Names()[0], before+value+after)
		}
	}
	return true
}

// repeats reports whether each use of a flag adds a value.
func repeats(f cli.Flag) bool {
	g, ok := original(f).(*cli.GenericFlag)
	if ok {
		_, ok = g.Value.(*repeated)
	}
	return ok
}

// completeValue completes a flag's value after the text, by the words that the flag accepts or by
// the name of its value.
func (p *program) completeValue(ctx *cli.Context, f cli.Flag, text string) {
	words := wordsOf(f)
	switch _, value, _ := Usage(f.(cli.DocGenerationFlag)); value {
	case "FILE", "SOCKET":
		fmt.Fprintln(ctx.App.Writer, ":files")
	case "DIRECTORY":
		fmt.Fprintln(ctx.App.Writer, ":folders")
	case "CAPABILITY":
		words = specconv.CapabilityNames()
	}
	for _, word := range words {
		p.candidate(ctx, text+word, "")
	}
}

// completeCommands completes the name of a command.
func (p *program) completeCommands(ctx *cli.Context) {
	if ctx.NArg() > 0 {
		return
	}
	for _, c := range p.commands("") {
		p.candidate(ctx, c.Name, c.Usage)
	}
}

// statuses is a set of container statuses.
type statuses uint8

const (
	created statuses = 1 << iota
	running
	paused
	stopped
	creating

	live      = created | running | paused
	anyStatus = live | stopped | creating
)

// statusSet returns the set of one status.
func statusSet(s specs.ContainerState) statuses {
	switch s {
	case specs.StateCreating:
		return creating
	case specs.StateCreated:
		return created
	case specs.StateRunning:
		return running
	case libcontainer.StatusPaused:
		return paused
	}
	return stopped
}

// completeIDs completes the first operand to a container with one of these statuses, or to any one
// with --force or --all.
func (p *program) completeIDs(want statuses) cli.BashCompleteFunc {
	return func(ctx *cli.Context) {
		if ctx.NArg() == 0 {
			p.completeMoreIDs(want)(ctx)
		}
	}
}

// completeMoreIDs is completeIDs for a command that takes several containers.
func (p *program) completeMoreIDs(want statuses) cli.BashCompleteFunc {
	return func(ctx *cli.Context) {
		if ctx.Bool("force") || ctx.Bool("all") {
			want = anyStatus
		}
		if p.setRoot(ctx.String("root")) != nil {
			return
		}
		containers, err := p.runtime().List()
		if err != nil {
			return // the caller may not read the state directory
		}
		for _, c := range containers {
			s, err := c.Status()
			if err != nil || want&statusSet(s.Status) == 0 || slices.Contains(ctx.Args().Slice(), s.ID) {
				continue // an error: deleted meanwhile, or damaged
			}
			p.candidate(ctx, s.ID, string(s.Status)+", "+s.Bundle)
		}
	}
}
