package cli

import (
	_ "embed"
	"io"
	"strings"
)

// The shells' scripts know nothing of orlop's commands: they ask it what can come next, with `orlop completion words`.
var (
	//go:embed completion/orlop.bash
	bashScript string
	//go:embed completion/orlop.zsh
	zshScript string
	//go:embed completion/orlop.fish
	fishScript string
)

// completionWords is the operand with which the scripts call.
const completionWords = "words"

// shells are those that there is a script for.
func shells() []string { return []string{"bash", "zsh", "fish"} }

func (p *program) completionCommand() *command {
	return &command{
		usage:     "print what completes orlop's command line in a shell",
		argsUsage: strings.Join(shells(), " | ") + "  |  " + completionWords + " [WORD...]",
		description: "Prints the script by which a shell completes commands, flags, their values and the ids of containers. For the running shell: " +
			"source <(orlop completion bash), in fish orlop completion fish | source. make install puts the scripts where shells look for them.\n" +
			"With words: prints, a line for each, what the last WORD of the command line orlop WORD... can be completed to, a tab, and what it is; " +
			"or \":files\" or \":folders\", when it can be the path of one. This is what the scripts call.",
		othersFlags: true,
		action:      p.completion,
	}
}

func (p *program) completion(args *arguments) error {
	if err := argsFor(args, 1, -1, "the name of a shell"); err != nil {
		return err
	}
	shell := args.First()
	if shell == completionWords {
		return p.completeWords(args.Tail())
	}
	if err := argsFor(args, 1, 1, "the name of a shell"); err != nil {
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

// completeWords prints what the last of the words can be completed to.
func (p *program) completeWords(words []string) error {
	if len(words) == 0 {
		words = []string{""}
	}
	list, paths := p.complete(words)
	out := make([]byte, 0, 4096)
	for _, c := range list {
		out = append(append(append(append(out, c.word...), '\t'), c.about...), '\n')
	}
	if paths != noPaths {
		out = append(append(out, paths...), '\n')
	}
	_, err := p.stdout.Write(out)
	return err
}
