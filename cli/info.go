package cli

import (
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"

	"github.com/orlop/orlop/libcontainer"
	"github.com/orlop/orlop/libcontainer/seccomp"
)

func (p *program) infoCommand() *cli.Command {
	return &cli.Command{
		Name:  "info",
		Usage: "describe this host and this build",
		Description: "Asks the kernel, with the caller's privileges: what takes more to find out is unknown. orlop check answers for one " +
			"configuration.",
		Flags:  []cli.Flag{formatFlag("text", "json")},
		Action: p.info,
	}
}

// buildInfo describes this build.
type buildInfo struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Spec    string `json:"spec"`
	Go      string `json:"go"`
	// Seccomp reports whether seccomp profiles can be compiled, and Library by which version of
	// libseccomp.
	Seccomp bool   `json:"seccomp"`
	Library string `json:"libseccomp,omitempty"`
	// Root is the caller's state directory.
	Root string `json:"root"`
}

// hostAndBuild is what info prints.
type hostAndBuild struct {
	Runtime buildInfo `json:"runtime"`
	*libcontainer.HostInfo
}

func (p *program) info(ctx *cli.Context) error {
	if err := argsFor(ctx, 0, 0, "none"); err != nil {
		return err
	}
	host, err := libcontainer.Info()
	if err != nil {
		return err
	}
	i := hostAndBuild{buildInfo{Version: p.version, Commit: commit(), Spec: specs.Version, Go: runtime.Version(),
		Seccomp: seccomp.Available, Root: p.root}, host}
	if seccomp.Available {
		i.Runtime.Library = seccomp.Version()
	}
	if ctx.String("format") == "json" {
		return writeJSON(p.stdout, i, "  ")
	}
	_, err = io.WriteString(p.stdout, i.text())
	return err
}

// text formats the information for people: a line for each item.
func (i *hostAndBuild) text() string {
	var b strings.Builder
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-22s %s\n", name, fmt.Sprintf(format, args...))
	}
	r, k := &i.Runtime, &i.Kernel
	row(name, "%s", words(r.Version, r.Commit))
	row("specification", "%s", r.Spec)
	row("built with", "%s, libseccomp %s", r.Go, orNone(r.Library))
	row("state", "%s", r.Root)
	row("kernel", "%s %s, %s", k.Release, k.Architecture, orNone(k.System))
	row("caller", "user %d, group %d, %d capabilities%s", i.Caller.UID, i.Caller.GID, len(i.Caller.Capabilities), when(i.Caller.Nested, ", in a user namespace"))
	i.kernelText(row)
	i.cgroupText(row)
	row("mount API", "%s", i.Mounts.API)
	row("recursive read-only", "%s", i.Mounts.RecursiveReadOnly)
	for _, answer := range []libcontainer.Answer{libcontainer.Yes, libcontainer.No, libcontainer.Unknown} {
		if list := typesWith(i.Mounts.IDMapped, answer); len(list) > 0 {
			row("id-mapped mounts: "+string(answer), "%s", strings.Join(list, " "))
		}
	}
	row("filesystems", "%s", strings.Join(i.Mounts.FileSystems, " "))
	s := &i.Security
	if s.Modules == nil {
		row("security modules", "%s", libcontainer.Unknown)
	} else {
		row("security modules", "%s", strings.Join(s.Modules, " "))
	}
	row("AppArmor, SELinux", "%s, %s", yesNo(s.AppArmor), yesNo(s.SELinux))
	row("seccomp actions", "%s", orNone(strings.Join(s.Seccomp.Actions, " ")))
	row("seccomp flags", "%s", orNone(strings.Join(s.Seccomp.Flags, " ")))
	i.userText(row)
	row("criu", "%s", orNone(words(i.CRIU.Version, i.CRIU.Path)))
	return b.String()
}

func (i *hostAndBuild) kernelText(row func(name, format string, args ...any)) {
	for _, f := range i.Features {
		if f.Available != libcontainer.Yes {
			row("no "+f.Name, "%s, since Linux %s: %s%s", f.Available, f.Since, f.For, when(f.Needed, "; every container needs it"))
		}
	}
	var have []string
	for _, n := range i.Namespaces {
		if n.Available == libcontainer.Yes {
			have = append(have, n.Type)
		} else {
			row("no "+n.Type+" namespaces", "%s", n.Available)
		}
	}
	row("namespaces", "%s", orNone(strings.Join(have, " ")))
}

func (i *hostAndBuild) cgroupText(row func(name, format string, args ...any)) {
	g := &i.Cgroups
	row("cgroups", "%s%s", g.Mode, when(g.Systemd, ", managed by systemd")+when(g.UserSystemd, ", the caller has a systemd of its own"))
	for _, point := range slices.Sorted(maps.Keys(g.V1)) {
		row("cgroup v1", "%s: %s", point, strings.Join(g.V1[point], " "))
	}
	if g.Unified != "" {
		row("cgroup2", "%s: %s", g.Unified, orNone(strings.Join(g.Controllers, " ")))
		row("cgroup2 for the caller", "%s", delegated(g.Delegated))
	}
}

func delegated(list []string) string {
	if list == nil {
		return "cannot create cgroups"
	}
	if len(list) == 0 {
		return "can create cgroups without controllers"
	}
	return "can create cgroups with " + strings.Join(list, " ")
}

func (i *hostAndBuild) userText(row func(name, format string, args ...any)) {
	u, r := &i.UserNamespaces, &i.Rootless
	row("user namespaces", "%s", words(string(u.Own), u.Why))
	for _, n := range i.Namespaces {
		if n.Type == "user" && n.Limit > 0 {
			row("user namespaces, limit", "%d", n.Limit)
		}
	}
	row("subordinate IDs", "users %s, groups %s", orNone(strings.Join(u.UIDs, " ")), orNone(strings.Join(u.GIDs, " ")))
	row("newuidmap, newgidmap", "%s, %s", orNone(u.NewUIDMap), orNone(u.NewGIDMap))
	row("rootless", "%s", r.Ready)
	for _, l := range r.Lacks {
		row("rootless lacks", "%s", l)
	}
	for _, w := range r.Without {
		row("rootless does without", "%s", w)
	}
}

// typesWith returns the filesystem types with this answer, sorted.
func typesWith(m map[string]libcontainer.Answer, answer libcontainer.Answer) (list []string) {
	for name, a := range m {
		if a == answer {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

func words(list ...string) string {
	return strings.Join(slices.DeleteFunc(list, func(s string) bool { return s == "" }), " ")
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func when(is bool, text string) string {
	if is {
		return text
	}
	return ""
}

func yesNo(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}
