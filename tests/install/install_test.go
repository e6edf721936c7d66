// Package install tests that `make install` puts everything where it belongs, and that `make uninstall` takes it away again.
package install

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// installMake runs make with a target for a DESTDIR.
func installMake(t *testing.T, target, destdir string, vars ...string) {
	t.Helper()
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("needs make")
	}
	args := append([]string{"-C", root, target, "DESTDIR=" + destdir}, vars...)
	// Whoever tests a build without seccomp may have no compiler for the other.
	if _, err := os.Stat(filepath.Join(root, "libcontainer/seccomp/compiler.elf")); err != nil {
		args = append(args, "SECCOMP=0")
	}
	cmd := exec.Command("make", args...)
	// What calls the tests may be a make with its own ideas.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(s string) bool {
		return strings.HasPrefix(s, "MAKE") || strings.HasPrefix(s, "MFLAGS=") || strings.HasPrefix(s, "PREFIX=")
	})
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", cmd.Args, err, out)
	}
}

// files lists the files below a folder, with their permissions.
func files(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		list = append(list, info.Mode().String()+" "+strings.TrimPrefix(path, dir))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

func TestInstall(t *testing.T) {
	for _, tc := range []struct{ prefix, flag string }{{"/usr/local", ""}, {"/opt/orlop", "PREFIX=/opt/orlop"}} {
		t.Run(tc.prefix, func(t *testing.T) {
			dir := t.TempDir()
			var vars []string
			if tc.flag != "" {
				vars = append(vars, tc.flag)
			}
			// A stranger's file beside ours must stay.
			other := filepath.Join(dir, tc.prefix, "share/man/man8/other.8")
			if err := os.MkdirAll(filepath.Dir(other), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(other, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			before := files(t, dir)
			installMake(t, "install", dir, vars...)
			installMake(t, "install", dir, vars...) // over itself
			want := append(expected(t, tc.prefix), before...)
			slices.Sort(want)
			if got := files(t, dir); !slices.Equal(got, want) {
				t.Errorf("installed\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			works(t, filepath.Join(dir, tc.prefix))
			installMake(t, "uninstall", dir, vars...)
			if got := files(t, dir); !slices.Equal(got, before) {
				t.Errorf("left: %q, want %q", got, before)
			}
		})
	}
}

// expected lists what is installed: a page for each command that the program knows.
func expected(t *testing.T, prefix string) []string {
	t.Helper()
	list := []string{
		"-rwxr-xr-x " + prefix + "/sbin/orlop",
		"-rw-r--r-- " + prefix + "/share/bash-completion/completions/orlop",
		"-rw-r--r-- " + prefix + "/share/fish/vendor_completions.d/orlop.fish",
		"-rw-r--r-- " + prefix + "/share/zsh/site-functions/_orlop",
		"-rw-r--r-- " + prefix + "/share/man/man8/orlop.8",
	}
	out, err := exec.Command(filepath.Join(root, "orlop"), "completion", "words").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if command, _, _ := strings.Cut(line, "\t"); command != "help" {
			list = append(list, "-rw-r--r-- "+prefix+"/share/man/man8/orlop-"+command+".8")
		}
	}
	return list
}

// works tries what was installed.
func works(t *testing.T, prefix string) {
	t.Helper()
	version, err := os.ReadFile(filepath.Join(root, "VERSION"))
	if err != nil {
		t.Fatal(err)
	}
	number := strings.TrimSpace(string(version))
	out, err := exec.Command(filepath.Join(prefix, "sbin/orlop"), "--version").Output()
	if err != nil || !strings.HasPrefix(string(out), "orlop version "+number+"\n") {
		t.Errorf("--version: %q, %v", out, err)
	}
	page, err := os.ReadFile(filepath.Join(prefix, "share/man/man8/orlop-create.8"))
	if err != nil || !strings.Contains(string(page), "orlop "+number) {
		t.Errorf("orlop-create.8 is not of version %s, %v", number, err)
	}
	for shell, file := range map[string]string{
		"bash": "bash-completion/completions/orlop", "zsh": "zsh/site-functions/_orlop", "fish": "fish/vendor_completions.d/orlop.fish",
	} {
		installed, err := os.ReadFile(filepath.Join(prefix, "share", file))
		if err != nil {
			t.Error(err)
		}
		printed, err := exec.Command(filepath.Join(prefix, "sbin/orlop"), "completion", shell).Output()
		if err != nil || string(printed) != string(installed) {
			t.Errorf("%s: %v: not what orlop completion prints", shell, err)
		}
	}
}
