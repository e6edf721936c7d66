// Command man writes orlop's man pages: orlop.8, and one for each command.
//
// Names, synopses and options come from the command line itself (package cli). The rest, such as
// errors, files and examples, is in pages/: a Markdown file for each page, with sections that begin
// with "# ".
//
//	man [-version VERSION] DIRECTORY
package main

import (
	"embed"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/orlop/orlop/cli"
)

//go:embed pages/*.md
var pages embed.FS

func main() {
	version := flag.String("version", "", "of orlop")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "man: usage: man [-version VERSION] DIRECTORY")
		os.Exit(2)
	}
	if err := write(*version, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "man:", err)
		os.Exit(1)
	}
}

// write writes all pages into a directory, which it creates.
func write(version, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	list, err := manual(strings.TrimSpace(version))
	if err != nil {
		return err
	}
	for _, p := range list {
		if err := os.WriteFile(filepath.Join(dir, p.name+"."+section), p.roff(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// manual returns all pages.
func manual(version string) ([]page, error) {
	app := cli.App(version)
	prose, err := readProse(app.Name)
	if err != nil {
		return nil, err
	}
	list := []page{programPage(app, prose)}
	for _, c := range app.Commands {
		name := app.Name + "-" + c.Name
		prose, err := readProse(name)
		if err != nil {
			return nil, err
		}
		list = append(list, commandPage(app, c, prose))
	}
	return list, nil
}

// prose maps the sections of a file of pages/ to their texts.
type prose map[string]string

func readProse(name string) (prose, error) {
	text, err := pages.ReadFile("pages/" + name + ".md")
	if err != nil {
		return nil, err
	}
	p := prose{}
	for part := range strings.SplitSeq("\n"+string(text), "\n# ") {
		title, body, _ := strings.Cut(part, "\n")
		if title = strings.TrimSpace(title); title == "" {
			continue
		}
		if _, twice := p[title]; twice {
			return nil, fmt.Errorf("%s: section %s appears twice", name, title)
		}
		p[title] = strings.Trim(body, "\n") // blanks are code's
	}
	return p, nil
}
