package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	urfave "github.com/urfave/cli/v2"

	"github.com/orlop/orlop/cli"
	"github.com/orlop/orlop/specconv"
)

func TestPages(t *testing.T) {
	list, err := manual("1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, p := range list {
		names[p.name] = true
	}
	files, err := filepath.Glob("pages/*.md")
	if err != nil || len(files) != len(list) {
		t.Errorf("%d pages of %d files, %v: one is of no command", len(list), len(files), err)
	}
	reference := regexp.MustCompile(`\*\*(orlop[a-z-]*)\*\*\(8\)`)
	for _, p := range list {
		text := p.text.String()
		for _, title := range []string{"NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "ERRORS", "FILES", "EXAMPLES", "SEE ALSO"} {
			if !strings.Contains(text, "\n# "+title+"\n") {
				t.Errorf("%s: no section %s", p.name, title)
			}
		}
		sections, err := readProse(p.name)
		if err != nil {
			t.Fatal(err)
		}
		for title := range sections {
			if !strings.Contains(text, "\n# "+title+"\n") {
				t.Errorf("%s: section %s is left out", p.name, title)
			}
		}
		for _, m := range reference.FindAllStringSubmatch(text, -1) {
			if !names[m[1]] {
				t.Errorf("%s: there is no page %s", p.name, m[1])
			}
		}
		if !strings.Contains(text, "orlop 1.2.3") {
			t.Errorf("%s: no version", p.name)
		}
	}
}

// TestDescriptions: a newline in a command's description ends a paragraph.
func TestDescriptions(t *testing.T) {
	for _, c := range cli.App("").Commands {
		for part := range strings.SplitSeq(c.Description, "\n") {
			if part != "" && !strings.HasSuffix(part, ".") {
				t.Errorf("%s: %q", c.Name, part)
			}
		}
	}
}

// TestProseFlags: flags named in prose and examples exist.
func TestProseFlags(t *testing.T) {
	app := cli.App("")
	known := map[string][]string{app.Name: flagNames(app.Flags)}
	for _, c := range app.Commands {
		known[app.Name+"-"+c.Name] = append(flagNames(c.Flags), known[app.Name]...)
		known[app.Name] = append(known[app.Name], flagNames(c.Flags)...) // the program's page speaks of all
	}
	flag := regexp.MustCompile(`(?:^|[\s*(])--([a-z][a-z0-9-]*)`)
	seen := 0
	for page, flags := range known {
		text, err := os.ReadFile("pages/" + page + ".md")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if code := strings.HasPrefix(line, "    "); code && !strings.Contains(line, "orlop ") {
				continue // another program's
			}
			for _, m := range flag.FindAllStringSubmatch(line, -1) {
				seen++
				if !slices.Contains(flags, m[1]) {
					t.Errorf("%s: there is no --%s: %s", page, m[1], line)
				}
			}
		}
	}
	if seen < 50 {
		t.Errorf("%d flags seen", seen)
	}
}

func flagNames(flags []urfave.Flag) (names []string) {
	for _, f := range flags {
		names = append(names, f.Names()...)
	}
	return names
}

// TestRoff: man and mandoc accept the pages.
func TestRoff(t *testing.T) {
	dir := t.TempDir()
	if err := write("1.2.3\n", dir); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.8"))
	if err != nil || len(files) < 20 {
		t.Fatalf("%q, %v", files, err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "orlop-kill.8"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\norlop-kill - send a signal to the first process of a container\n",
		"\\fB--all\\fP, \\fB-a\\fP\nSend the signal to all processes of the container.\n",
		"\norlop kill box SIGRTMIN+3\n",
	} {
		if want = strings.ReplaceAll(want, "-", `\-`); !strings.Contains(string(page), want) {
			t.Errorf("no %q in %s", want, page)
		}
	}
	t.Run("mandoc", func(t *testing.T) {
		lint(t, files, "mandoc", "-Tlint", "-Wwarning")
	})
	t.Run("man", func(t *testing.T) {
		lint(t, files, "man", "--warnings", "-l")
	})
}

// lint runs a program that reports faults of pages on standard output or standard error.
func lint(t *testing.T, files []string, argv ...string) {
	t.Helper()
	path, err := exec.LookPath(argv[0])
	if err != nil {
		t.Skip("needs " + argv[0])
	}
	cmd := exec.Command(path, append(argv[1:], files...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANPAGER=cat")
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if argv[0] == "mandoc" {
		complaints.Write(out)
	} else if err != nil || len(out) == 0 {
		t.Errorf("%q: %v, %d bytes", cmd.Args, err, len(out))
	}
	for line := range strings.Lines(complaints.String()) {
		// Pages are the same whenever they are made.
		if !strings.Contains(line, "missing date, using \"\": TH") {
			t.Error(strings.TrimSpace(line))
		}
	}
}

// TestConfigurationIsDocumented: the manual has orlop's annotations, and the mount options that
// mount(8) does not have.
func TestConfigurationIsDocumented(t *testing.T) {
	page, err := os.ReadFile("pages/orlop-create.md")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"tmpcopyup", "idmap", "ridmap", "copy-symlink", "src-nofollow", "dest-nofollow"}
	for _, r := range specconv.AnnotationRules() {
		names = append(names, r.Name)
	}
	for _, name := range names {
		if !strings.Contains(string(page), "**"+name+"**") {
			t.Errorf("%s: not in orlop-create.8", name)
		}
	}
}

// TestCodesAreDocumented: the manual has every error code.
func TestCodesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("pages/orlop.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("../../cli/errors.go")
	if err != nil {
		t.Fatal(err)
	}
	_, function, _ := strings.Cut(string(source), "\nfunc codeOf(")
	codes := regexp.MustCompile(`(?:, |return )"([a-z-]+)"`).FindAllStringSubmatch(function, -1)
	if len(codes) < 15 {
		t.Errorf("%d codes: %q", len(codes), codes)
	}
	for _, m := range codes {
		if !strings.Contains(string(page), "\n**"+m[1]+"**\n: ") {
			t.Errorf("%s: not in orlop.8", m[1])
		}
	}
}
