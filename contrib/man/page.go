package main

import (
	"bytes"
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	urfave "github.com/urfave/cli/v2"

	"github.com/orlop/orlop/cli"
)

// section is the manual's section for system administration.
const section = "8"

// page is a man page in the Markdown of md2man.
type page struct {
	name string // without the section
	text strings.Builder
}

func newPage(name, version string) *page {
	p := &page{name: name}
	p.text.WriteString(`% "` + strings.ToUpper(name) + `" "` + section + `" "" "orlop ` + version + `" "System administration"` + "\n\n")
	return p
}

// roff returns the page for man. Hyphens become minus signs, so that text copied from a page works
// in a shell.
func (p *page) roff() []byte {
	var out []byte
	for line := range bytes.Lines(md2man.Render([]byte(p.text.String()))) {
		if bytes.HasPrefix(line, []byte(".TH ")) {
			line = append(line, ".nh\n.ad l\n"...) // no hyphens in names, and no gaps around long ones
		}
		if line[0] != '.' {
			line = bytes.ReplaceAll(bytes.ReplaceAll(line, []byte(`\-`), []byte("-")), []byte("-"), []byte(`\-`))
		}
		out = append(out, line...)
	}
	return out
}

// add adds a section with these paragraphs. It omits an empty section.
func (p *page) add(title string, paragraphs ...string) {
	paragraphs = slices.DeleteFunc(paragraphs, func(s string) bool { return s == "" })
	if len(paragraphs) > 0 {
		p.text.WriteString("# " + title + "\n\n" + strings.Join(paragraphs, "\n\n") + "\n\n")
	}
}

// programPage returns the page of the program itself.
func programPage(app *urfave.App, more prose) page {
	p := newPage(app.Name, app.Version)
	p.add("NAME", app.Name+" - "+app.Usage)
	p.add("SYNOPSIS", "**"+app.Name+"** [*OPTION*...] *COMMAND* [*OPTION*...] [*ARGUMENT*...]")
	p.add("DESCRIPTION", more["DESCRIPTION"])
	var commands, references []string
	for _, c := range app.Commands {
		reference := reference(app.Name + "-" + c.Name)
		references = append(references, reference)
		commands = append(commands, reference+"\n: "+sentence(c.Usage))
	}
	p.add("COMMANDS", strings.Join(commands, "\n\n"))
	p.add("OPTIONS", options(app.Flags), more["OPTIONS"])
	for _, title := range []string{"EXIT STATUS", "ERRORS", "ENVIRONMENT", "FILES", "NOTES", "EXAMPLES"} {
		p.add(title, more[title])
	}
	p.add("SEE ALSO", strings.Join(append(references, more["SEE ALSO"]), ", "))
	return *p
}

// The sections of commands whose page has none of its own.
const (
	usualStatus = "0 on success; 1 on failure or wrong usage: the reason is on standard error and in the log."
	usualErrors = "The error's line in the log has fields for its kind and its origin: see ERRORS in **orlop**(8)."
	usualFiles  = "*/run/orlop/CONTAINER*\n: The record of a container, by default; see **--root** in **orlop**(8)."
)

// commandPage returns the page of one command.
func commandPage(app *urfave.App, c *urfave.Command, more prose) page {
	name := app.Name + "-" + c.Name
	p := newPage(name, app.Version)
	p.add("NAME", name+" - "+c.Usage)
	var synopsis []string
	called := app.Name + " " + c.Name
	for form := range strings.SplitSeq(cmp.Or(c.UsageText, called+" "+c.ArgsUsage), "\n") {
		form = strings.TrimPrefix(strings.TrimPrefix(form, called), " [command options]")
		line := "**" + app.Name + "** [*GLOBAL OPTION*...] **" + c.Name + "** [*OPTION*...]"
		synopsis = append(synopsis, strings.TrimSpace(line+" "+arguments(form)))
	}
	p.add("SYNOPSIS", synopsis...)
	p.add("DESCRIPTION", strings.ReplaceAll(c.Description, "\n", "\n\n"), more["DESCRIPTION"])
	p.add("OPTIONS", options(c.Flags), more["OPTIONS"], "For options of all commands, which stand before the command's name, see **orlop**(8).")
	p.add("MOUNT OPTIONS", more["MOUNT OPTIONS"])
	p.add("ANNOTATIONS", more["ANNOTATIONS"])
	p.add("EXIT STATUS", cmp.Or(more["EXIT STATUS"], usualStatus))
	p.add("ERRORS", more["ERRORS"], usualErrors)
	p.add("ENVIRONMENT", more["ENVIRONMENT"])
	p.add("FILES", cmp.Or(more["FILES"], usualFiles))
	p.add("NOTES", more["NOTES"])
	p.add("EXAMPLES", more["EXAMPLES"])
	p.add("SEE ALSO", strings.Join(slices.DeleteFunc([]string{reference(app.Name), more["SEE ALSO"]}, func(s string) bool { return s == "" }), ", "))
	return *p
}

func reference(name string) string { return "**" + name + "**(" + section + ")" }

// sentence turns a line of help into a sentence.
func sentence(usage string) string {
	return strings.ToUpper(usage[:1]) + usage[1:] + "."
}

// arguments marks the words of a command's usage: words in capitals are placeholders.
func arguments(usage string) string {
	words := regexp.MustCompile(`--?[a-z]+|[A-Za-z]+`)
	return words.ReplaceAllStringFunc(strings.TrimSpace(usage), func(word string) string {
		if strings.ToUpper(word) == word {
			return "*" + word + "*"
		}
		return "**" + word + "**"
	})
}

// options describes flags: names, value, usage and default.
func options(flags []urfave.Flag) string {
	var list []string
	for _, f := range flags {
		f := f.(urfave.DocGenerationFlag)
		var names []string
		for _, name := range f.Names() {
			names = append(names, "**"+urfave.FlagNamePrefixer([]string{name}, "")+"**")
		}
		before, value, after := cli.Usage(f)
		head, text := strings.Join(names, ", "), before
		if f.TakesValue() {
			head += " *" + value + "*"
			text += "*" + value + "*" + after
		}
		text = sentence(literal(text))
		if text[0] == '*' { // the value's name begins it
			text = "The " + text
		}
		if initial := f.GetDefaultText(); f.TakesValue() && initial != "" && initial != "0" {
			text += " Default: " + initial + "."
		}
		list = append(list, head+"\n: "+text)
	}
	return strings.Join(list, "\n\n")
}

// literal escapes help texts for Markdown.
func literal(text string) string {
	return strings.NewReplacer("_", `\_`, "<", `\<`, "[", `\[`, "]", `\]`).Replace(text)
}
