package cli

func (p *program) createCommand() *command {
	return &command{
		usage:       "make a container",
		argsUsage:   idUsage,
		description: "Makes the container that config.json in the bundle describes, up to the start of its program: see start.",
		flags:       append(planFlags(), streamFlags()...),
		action:      p.create,
	}
}

func (p *program) create(args *arguments) error {
	if err := oneID(args); err != nil {
		return err
	}
	b, err := p.loadBundle(args)
	if err != nil {
		return err
	}
	o, err := p.createOptions(args, b, true)
	if err != nil {
		return err
	}
	_, err = p.creator(args).Create(args.First(), b, o)
	return err
}
