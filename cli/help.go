package cli

import (
	"io"
	"strconv"
	"strings"
)

const exitStatuses = `
EXIT STATUS:
   0      done
   1      failed, or wrongly called: the reason is on standard error and in the log
   255    exec: the process could not be started
   N      run and exec in the foreground: what the process returned
   128+N  run and exec in the foreground: signal N ended the process
`

// margin is what stands before each line below a heading.
const margin = "   "

// isHelp reports whether a command's name is that of help, which has two.
func isHelp(called string) bool { return called == "help" || called == "h" }

// helpCommand is not in the table of commands, since it is about them.
func (p *program) helpCommand() *command {
	return &command{
		name:        "help",
		usage:       "Shows a list of commands or help for one command",
		argsUsage:   "[command]",
		othersFlags: true,
		action: func(args *arguments) error {
			return p.showHelp(args.First())
		},
	}
}

// showHelp prints the help of a command, or that of the program if none is named.
func (p *program) showHelp(called string) error {
	if called == "" {
		return p.printHelp(p.programHelp())
	}
	c := p.command(called)
	if c == nil {
		return usagef("No help topic for '%s'", called)
	}
	return p.printHelp(commandHelp(c))
}

func (p *program) printHelp(text string) error {
	_, err := io.WriteString(p.stdout, text)
	return err
}

func (p *program) programHelp() string {
	c := p.mainCommand()
	var commands [][]string
	for _, b := range builders() {
		commands = append(commands, []string{margin + b.name, b.build(p).usage})
	}
	help := p.helpCommand()
	commands = append(commands, []string{margin + help.name + ", h", help.usage})
	return "NAME:\n" + margin + name + " - " + c.usage + "\n" +
		"\nUSAGE:\n" + margin + name + " [global options] command [command options]\n" +
		"\nCOMMANDS:\n" + columns(commands, 0, 2) +
		"\nGLOBAL OPTIONS:\n" + options(c) +
		exitStatuses
}

func commandHelp(c *command) string {
	full := margin + name + " " + c.name
	text := "NAME:\n" + full + " - " + c.usage + "\n" +
		"\nUSAGE:\n" + full + " [command options]"
	if c.argsUsage != "" {
		text += " " + c.argsUsage
	}
	text += "\n"
	if c.description != "" {
		text += "\nDESCRIPTION:\n"
		for line := range strings.SplitSeq(c.description, "\n") {
			if line != "" {
				line = margin + line
			}
			text += line + "\n"
		}
	}
	return text + "\nOPTIONS:\n" + options(c)
}

// options lists a command's flags.
func options(c *command) string {
	var rows [][]string
	for i := range c.flags {
		rows = append(rows, c.flags[i].help())
	}
	help := helpFlag()
	rows = append(rows, []string{margin + strings.Join(help.names(), ", "), help.usage})
	return columns(rows, 0, 2)
}

// help returns a flag's line in a list: its names, and what it is for.
func (f *flag) help() []string {
	names := f.names()
	if f.takesValue() {
		for i := range names {
			names[i] += " " + f.valueName()
		}
	}
	head := strings.Join(names, ", ")
	if f.kind == kindStrings {
		head += " [ " + head + " ]"
	}
	about := strings.ReplaceAll(f.about(), "`", "")
	switch {
	case f.kind == kindBool:
		about += " (default: false)"
	case f.initial == "":
	case f.kind == kindString || f.kind == kindChoice:
		about += " (default: " + strconv.Quote(f.initial) + ")"
	default:
		about += " (default: " + f.initial + ")"
	}
	return []string{margin + head, about}
}
