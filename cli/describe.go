package cli

// Description tells what the program takes on its command line, for those who write about it.
type Description struct {
	Name     string
	Version  string
	Usage    string // in a few words
	Flags    []FlagDescription
	Commands []CommandDescription
}

// CommandDescription is what one command takes.
type CommandDescription struct {
	Name        string
	Usage       string // in a few words
	ArgsUsage   string // the operands; two blanks around a bar separate forms of the call
	Description string // paragraphs, of a line each
	Flags       []FlagDescription
}

// FlagDescription is a flag, but for --help, which all commands have.
type FlagDescription struct {
	Names      []string // without dashes
	Usage      string   // has the name of the value in backquotes
	TakesValue bool
	Default    string // the value where the flag is not given, "" for none
	Repeated   bool   // each time that it is given adds a value
}

// Describe returns the command line with all of its commands.
func Describe(version string) Description {
	p := new(program)
	c := p.mainCommand()
	d := Description{Name: c.name, Version: version, Usage: c.usage, Flags: describeFlags(c.flags)}
	for _, b := range builders() {
		c := b.command(p)
		d.Commands = append(d.Commands, CommandDescription{c.name, c.usage, c.argsUsage, c.description, describeFlags(c.flags)})
	}
	return d
}

func describeFlags(flags []flag) []FlagDescription {
	var list []FlagDescription
	for i := range flags {
		f := &flags[i]
		names := []string{f.name}
		if f.short != "" {
			names = append(names, f.short)
		}
		list = append(list, FlagDescription{names, f.about(), f.takesValue(), f.initial, f.kind == kindStrings})
	}
	return list
}
