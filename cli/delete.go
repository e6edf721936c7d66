package cli

func (p *program) deleteCommand() *command {
	return &command{
		usage:       "delete a container that does not run",
		argsUsage:   idUsage,
		description: "Removes what there is of a container: its state, its cgroup, and with --force its processes.",
		flags: []flag{
			{kind: kindBool, name: "force", short: "f", usage: "kill it first if it runs; that there is none is no error"},
		},
		action: func(args *arguments) error {
			if err := oneID(args); err != nil {
				return err
			}
			closeOnExec()
			if args.Bool("force") {
				return p.runtime().Remove(args.First())
			}
			container, err := p.container(args)
			if err != nil {
				return err
			}
			return container.Delete()
		},
	}
}
