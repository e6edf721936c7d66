package cli

import (
	"io"
	"strings"

	"github.com/urfave/cli/v2"
)

// helpWidth is the width of help in columns.
const helpWidth = 80

const exitStatuses = `
EXIT STATUS:
   0      success
   1      failure or wrong usage: the reason is on standard error and in the log
   255    exec: the process could not be started
   N      run and exec in the foreground: the exit status of the process
   128+N  run and exec in the foreground: signal N ended the process
`

func isHelp(command string) bool { return command == "help" || command == "h" }

func (p *program) helpCommand() *cli.Command {
	return &cli.Command{
		Name:         "help",
		Aliases:      []string{"h"},
		Usage:        "show the commands, or the help of one",
		ArgsUsage:    "[COMMAND]",
		BashComplete: p.completeCommands,
		Action: func(ctx *cli.Context) error {
			if command := ctx.Args().First(); command != "" {
				return cli.ShowCommandHelp(ctx, command)
			}
			return cli.ShowAppHelp(ctx)
		},
	}
}

// setHelp makes the library wrap its help texts, and write a flag's description below its names.
func setHelp() {
	cli.FlagStringer = flagHelp
	cli.HelpPrinter = func(w io.Writer, template string, data any) {
		cli.HelpPrinterCustom(w, template, data, map[string]any{"wrapAt": func() int { return helpWidth }})
		if _, ok := data.(*cli.App); ok {
			io.WriteString(w, exitStatuses)
		}
	}
}

func flagHelp(f cli.Flag) string {
	flag := f.(cli.DocGenerationFlag)
	before, value, after := Usage(flag)
	text := cli.FlagNamePrefixer(flag.Names(), value) + "\n" + before + value + after
	if flag.TakesValue() && flag.GetDefaultText() != "" {
		text += " (default: " + flag.GetDefaultText() + ")"
	}
	return text
}

// Usage returns the parts of a flag's description: before the name of its value, the name, and what
// follows.
func Usage(f cli.DocGenerationFlag) (before, value, after string) {
	before, after, _ = strings.Cut(f.GetUsage(), "`")
	value, after, _ = strings.Cut(after, "`")
	return before, value, after
}

// A writer remembers its first error, which the library ignores.
type writer struct {
	io.Writer
	err error
}

func (w *writer) Write(data []byte) (int, error) {
	n, err := w.Writer.Write(data)
	if w.err == nil {
		w.err = err
	}
	return n, err
}
