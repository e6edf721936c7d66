package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/orlop/orlop/tests/harness"
)

// securityPage is the page with commands for operators.
const securityPage = "../../docs/security.md"

// A typed is a command of a page, and the output on the page, in which "..." matches anything
// within a line.
type typed struct{ command, output string }

// typedIn returns the commands of a page's blocks of type console.
func typedIn(page string) (list []typed) {
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(page, -1) {
		for line := range strings.Lines(block[1]) {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				list = append(list, typed{command: command})
			} else if n := len(list); n > 0 {
				list[n-1].output += line
			}
		}
	}
	return list
}

// TestSecurityPage runs the commands of docs/security.md in one shell, and compares the output with
// the page's.
func TestSecurityPage(t *testing.T) {
	harness.OrlopOnly(t, "the page is about orlop")
	page, err := os.ReadFile(securityPage)
	if err != nil {
		t.Skip("the documentation is not here: ", err)
	}
	b := harness.New(t)
	list := typedIn(regexp.MustCompile(`\bdemo\b`).ReplaceAllString(string(page), b.ID))
	if len(list) < 15 {
		t.Fatalf("%d commands, which is too few", len(list))
	}
	bin := filepath.Join(b.Dir, "bin")
	must(t, os.MkdirAll(bin, 0o755))
	wrapper := fmt.Sprintf("#!/bin/sh\nexec %s --root %s \"$@\"\n", harness.Runtime(), b.Root)
	must(t, os.WriteFile(filepath.Join(bin, "orlop"), []byte(wrapper), 0o755))
	var script strings.Builder
	// The output of each command, between two lines of the test.
	for i, c := range list {
		fmt.Fprintf(&script, "%secho '<%d>'\n", c.command, i)
	}
	cmd := exec.Command("sh", "-c", script.String())
	cmd.Dir = filepath.Join(b.Dir, "bin")
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	file, err := os.Create(filepath.Join(b.Dir, "printed"))
	must(t, err)
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file // not a pipe, which the container would keep open
	must(t, harness.StartOther(cmd))
	must(t, harness.WaitOther(cmd))
	printed, err := os.ReadFile(file.Name())
	must(t, err)
	rest := string(printed)
	for i, c := range list {
		got, after, ok := strings.Cut(rest, fmt.Sprintf("<%d>\n", i))
		want := "^" + strings.ReplaceAll(regexp.QuoteMeta(c.output), `\.\.\.`, ".*") + "$"
		if !ok || !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%sprints\n%swant\n%s", c.command, got, c.output)
		}
		rest = after
	}
}
