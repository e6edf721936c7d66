package cli

import (
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/libcontainer"
	"github.com/orlop/orlop/specconv"
)

// A candidate is what a word of the command line can be completed to.
type candidate struct{ word, about string }

// paths says that a word can also be the path of something, which the shell completes.
type paths string

const (
	noPaths paths = ""
	files   paths = ":files"
	folders paths = ":folders"
)

// typed is a part of the command line, with the flags of the program or of a command, as far as it is typed.
type typed struct {
	command  *command
	given    map[string]string // values of flags that are there, by their first names
	operands []string
	pending  *flag // the flag whose value comes next
	literal  bool  // no flag can come any more
}

// scan reads words as parse does, of a line that is not at its end.
func scan(c *command, words []string) typed {
	t := typed{command: c, given: map[string]string{}}
	for i, word := range words {
		switch {
		case t.literal:
			t.operands = append(t.operands, word)
		case t.pending != nil:
			t.given[t.pending.name] = word
			t.pending = nil
		case word == "--":
			t.literal = true
		case isOperand(word):
			t.operands = append(t.operands, word)
			if c.othersFlags {
				t.operands, t.literal = words[i:], true
				return t
			}
		default:
			t.scanFlag(word)
		}
	}
	return t
}

func (t *typed) scanFlag(word string) {
	given, value, hasValue := cutFlag(word)
	f := t.command.flag(given)
	switch {
	case f == nil: // a group, or one that will be refused
		for _, letter := range t.command.ungroup(word) {
			t.scanFlag(letter)
		}
	case hasValue || !f.takesValue():
		t.given[f.name] = value
	default:
		t.pending = f
	}
}

// complete returns what the last of the words, which stand behind the program's name, can be completed to.
func (p *program) complete(words []string) ([]candidate, paths) {
	before, word := words[:len(words)-1], words[len(words)-1]
	global := scan(p.mainCommand(), before)
	if len(global.operands) == 0 {
		if list, paths, ok := global.flag(word); ok {
			return list, paths
		}
		return matching(word, "", p.commandNames()), noPaths
	}
	called := global.operands[0]
	c := p.command(called)
	if c == nil {
		return nil, noPaths
	}
	t := scan(c, global.operands[1:])
	if list, paths, ok := t.flag(word); ok {
		return list, paths
	}
	rootless := global.given["rootless"]
	if rootless == "" {
		rootless = "auto"
	}
	if p.setRoot(global.given["root"], rootless) != nil {
		return nil, noPaths
	}
	return matching(word, "", p.operands(called, word, &t)), noPaths
}

// flag returns what a word can be that is a flag or the value of one; ok is false if it is something else.
func (t *typed) flag(word string) (list []candidate, p paths, ok bool) {
	if t.pending != nil {
		list, p = values(t.pending)
		return matching(word, "", list), p, true
	}
	if t.literal || !strings.HasPrefix(word, "-") {
		return nil, noPaths, false
	}
	if flag, _, hasValue := strings.Cut(word, "="); hasValue {
		f := t.command.flag(strings.TrimLeft(flag, "-"))
		if f == nil || !f.takesValue() {
			return nil, noPaths, true
		}
		list, p = values(f)
		return matching(word, flag+"=", list), p, true
	}
	for i := range t.command.flags {
		f := &t.command.flags[i]
		if _, there := t.given[f.name]; there && f.kind != kindStrings {
			continue
		}
		list = append(list, candidate{"--" + f.name, strings.ReplaceAll(f.about(), "`", "")})
	}
	help := helpFlag()
	return matching(word, "", append(list, candidate{"--" + help.name, help.usage})), noPaths, true
}

// matching returns the candidates that begin with a word, with something before each of them.
func matching(word, before string, list []candidate) (found []candidate) {
	for _, c := range list {
		if c.word = before + c.word; strings.HasPrefix(c.word, word) {
			found = append(found, c)
		}
	}
	return found
}

// values returns what a flag's value can be: its words, or by the name that its help has for it.
func values(f *flag) ([]candidate, paths) {
	if f.words != nil {
		return named(f.words, ""), noPaths
	}
	switch f.valueName() {
	case "FILE", "SOCKET":
		return nil, files
	case "FOLDER":
		return nil, folders
	case "CAPABILITY":
		return named(specconv.CapabilityNames(), ""), noPaths
	}
	return nil, noPaths
}

func named(words []string, about string) []candidate {
	list := make([]candidate, len(words))
	for i, word := range words {
		list[i] = candidate{word, about}
	}
	return list
}

func (p *program) commandNames() []candidate {
	var list []candidate
	for _, b := range builders() {
		list = append(list, candidate{b.name, b.build(p).usage})
	}
	return append(list, candidate{"help", "show help"})
}

// operands returns what a command's next argument can be, of which the word is typed.
func (p *program) operands(command, word string, t *typed) []candidate {
	nth := len(t.operands)
	b, _ := findBuilder(command)
	_, force := t.given["force"]
	_, all := t.given["all"]
	_, ignorePaused := t.given["ignore-paused"]
	want := b.takes
	switch {
	case isHelp(command) && nth == 0:
		return p.commandNames()
	case command == "kill" && nth == 1:
		names := specconv.SignalNames()
		if strings.HasPrefix(word, "SIG") {
			for i := range names {
				names[i] = "SIG" + names[i]
			}
		}
		return named(names, "")
	case command == "completion" && nth == 0:
		return named(shells(), "")
	case nth > 0 && command != "stats":
		return nil
	case want == 0:
		return nil
	case force || all:
		want = anyStatus
	case ignorePaused:
		want |= paused
	}
	return slices.DeleteFunc(p.ids(want), func(c candidate) bool { return slices.Contains(t.operands, c.word) })
}

// statuses is a set of those that a container can have.
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

// statusSet returns the set with one status alone.
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

// ids returns the containers of these statuses: none where the caller may not know them.
func (p *program) ids(want statuses) (list []candidate) {
	containers, err := p.runtime().List()
	if err != nil {
		return nil
	}
	for _, c := range containers {
		s, err := c.Status()
		if err != nil || want&statusSet(s.Status) == 0 {
			continue // deleted meanwhile, or damaged
		}
		list = append(list, candidate{s.ID, string(s.Status) + ", " + s.Bundle})
	}
	return list
}
