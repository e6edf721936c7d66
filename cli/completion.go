package cli

import (
	_ "embed"
	"io"

	"github.com/urfave/cli/v2"
)

// The completion scripts do not know the commands: they call `orlop completion words`.
var (
	//go:embed completion/orlop.bash
	bashScript string
	//go:embed completion/orlop.zsh
	zshScript string
	//go:embed completion/orlop.fish
	fishScript string
)

// completionWords is the operand that the scripts pass.
const completionWords = "words"

// shells returns the shells with a script.
func shells() []string { return []string{"bash", "zsh", "fish"} }

func (p *program) completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print the script that completes orlop's command line in a shell",
		UsageText: name + " completion SHELL\n" + name + " completion " + completionWords + " [WORD...]",
		Description: "Prints the script for the SHELL bash, zsh or fish. It completes commands, flags, their values and IDs of containers. To load it into the running shell: " +
			"source <(orlop completion bash); in fish: orlop completion fish | source. make install puts the scripts where shells look for them.\n" +
			"With words: prints the completions of the last WORD of the command line orlop WORD..., a line each: the completion, a tab, a description. " +
			"\":files\" or \":folders\" stand for paths. The scripts call this.",
		BashComplete: p.completeShells,
		Action:       p.completion,
	}
}

func (p *program) completion(ctx *cli.Context) error {
	if err := argsFor(ctx, 1, -1, "the name of a shell"); err != nil {
		return err
	}
	shell := ctx.Args().First()
	if shell == completionWords {
		return p.completeWords(ctx, ctx.Args().Tail())
	}
	if err := argsFor(ctx, 1, 1, "the name of a shell"); err != nil {
		return err
	}
	var script string
	switch shell {
	case "bash":
		script = bashScript
	case "zsh":
		script = zshScript
	case "fish":
		script = fishScript
	default:
		return usagef("completion: %q: must be %s", shell, alternatives(shells()))
	}
	_, err := io.WriteString(p.stdout, script)
	return err
}

// completeShells completes the name of a shell.
func (p *program) completeShells(ctx *cli.Context) {
	for _, shell := range shells() {
		if ctx.NArg() == 0 {
			p.candidate(ctx, shell, "")
		}
	}
}
