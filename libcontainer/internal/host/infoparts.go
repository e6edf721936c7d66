package host

import (
	"context"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/cgroups"
	"github.com/orlop/orlop/libcontainer/internal/idmap"
)

// Cgroups describes how the host mounts its cgroup hierarchies.
type Cgroups struct {
	Mode string `json:"mode"` // "none", "legacy", "hybrid", "unified"
	// V1 are the hierarchies of v1, by mount point.
	V1 map[string][]string `json:"v1"`
	// Unified is the mount point of cgroup2, "" if there is none, and Controllers its controllers.
	Unified     string   `json:"unified"`
	Controllers []string `json:"controllers"`
	// Delegated are the controllers that the caller can give to cgroups below its own cgroup2; null
	// when it can make none there.
	Delegated []string `json:"delegated"`
	// Systemd is set when systemd is the host's init, UserSystemd when the caller has a systemd of
	// its own.
	Systemd     bool `json:"systemd"`
	UserSystemd bool `json:"userSystemd"`
}

func (a *asking) cgroups() (Cgroups, error) {
	layout, err := cgroups.ReadLayout()
	if err != nil {
		return Cgroups{}, err
	}
	c := Cgroups{Mode: layout.Mode.String(), V1: map[string][]string{}, Unified: layout.Unified, Controllers: []string{},
		Systemd: a.runningSystemd(), UserSystemd: userSystemd()}
	for i := range layout.Hierarchies {
		h := &layout.Hierarchies[i]
		c.V1[h.Mountpoint] = h.Keys()
	}
	if layout.Unified == "" {
		return c, nil
	}
	c.Controllers = append(c.Controllers, strings.Fields(a.text(layout.Unified+"/cgroup.controllers"))...)
	// Apart from the root, a cgroup with processes cannot enable controllers for its children; the
	// parent of the caller's cgroup is used instead (see cgroups.New).
	dir := layout.UnifiedOwn
	if dir != layout.Unified {
		dir = path.Dir(dir)
	}
	if unix.Access(dir, unix.W_OK) == nil && unix.Access(dir+"/cgroup.subtree_control", unix.W_OK) == nil {
		c.Delegated = append([]string{}, strings.Fields(a.text(dir+"/cgroup.controllers"))...)
	}
	return c, nil
}

// userSystemd reports whether the caller can reach a systemd instance of its own at its socket.
func userSystemd() bool {
	dir := os.Getenv("XDG_RUNTIME_DIR")
	return dir != "" && unix.Access(dir+"/systemd/private", unix.R_OK|unix.W_OK) == nil
}

// Mounts describes what can be mounted, and how.
type Mounts struct {
	API               Answer `json:"api"`               // fsopen(2) and related calls
	RecursiveReadOnly Answer `json:"recursiveReadOnly"` // the option rro
	// IDMapped says for types of filesystems whether their mounts can be id-mapped: those that are
	// mounted here, and some that need no device.
	IDMapped map[string]Answer `json:"idMapped"`
	// FileSystems are the types that the kernel has now; it may load more on demand.
	FileSystems []string `json:"fileSystems"`
}

func (a *asking) mounts() Mounts {
	m := Mounts{
		API:               answerOf(a.feature(featureNeed("mount API"))),
		RecursiveReadOnly: answerOf(a.feature(featureNeed("mount_setattr"))),
		IDMapped:          a.idMapped(),
		FileSystems:       []string{},
	}
	types, _ := a.fileSystems()
	for name := range types {
		m.FileSystems = append(m.FileSystems, name)
	}
	slices.Sort(m.FileSystems)
	return m
}

// UserNamespaces describes what the caller can do with user namespaces.
type UserNamespaces struct {
	// Own says whether the caller can make one in which it is root. Why is the reason if not.
	Own Answer `json:"own"`
	Why string `json:"why,omitempty"`
	// UIDs and GIDs are the caller's subordinate ids (subuid(5), subgid(5)), as "FIRST-LAST".
	UIDs []string `json:"subordinateUids"`
	GIDs []string `json:"subordinateGids"`
	// NewUIDMap and NewGIDMap are the paths of the programs with which ordinary users map those
	// ids, "" if they are not installed.
	NewUIDMap string `json:"newuidmap"`
	NewGIDMap string `json:"newgidmap"`
}

func (a *asking) userNamespaces() UserNamespaces {
	u := UserNamespaces{Own: Yes, UIDs: a.ranges("/etc/subuid"), GIDs: a.ranges("/etc/subgid")}
	u.NewUIDMap, _ = exec.LookPath("newuidmap")
	u.NewGIDMap, _ = exec.LookPath("newgidmap")
	ns, err := idmap.New(idmap.Map{
		UIDs: []specs.LinuxIDMapping{{HostID: uint32(a.ids.uid), Size: 1}},
		GIDs: []specs.LinuxIDMapping{{HostID: uint32(a.ids.gid), Size: 1}},
	})
	if err != nil {
		u.Own, u.Why = No, err.Error()
		return u
	}
	ns.Close()
	return u
}

func (a *asking) ranges(file string) []string {
	list, text := []subRange(nil), []string{}
	list, _ = a.subordinate(file)
	for _, r := range list {
		text = append(text, span(specs.LinuxIDMapping{HostID: r.first, Size: r.size}))
	}
	return text
}

// Rootless says whether the caller can run containers without root's rights, and what they lack.
type Rootless struct {
	Ready Answer `json:"ready"`
	// Lacks prevents any container, Without is what containers run without.
	Lacks   []string `json:"lacks"`
	Without []string `json:"without"`
}

func (a *asking) rootless(i *Info) Rootless {
	r := Rootless{Ready: Yes, Lacks: []string{}, Without: []string{}}
	for _, f := range i.Features {
		if f.Needed && f.Available == No {
			r.Lacks = append(r.Lacks, f.Name)
		}
	}
	if i.UserNamespaces.Own == No {
		r.Lacks = append(r.Lacks, i.UserNamespaces.Why)
	}
	if len(r.Lacks) > 0 {
		r.Ready = No
	}
	u := &i.UserNamespaces
	if len(u.UIDs) == 0 || len(u.GIDs) == 0 || u.NewUIDMap == "" || u.NewGIDMap == "" {
		r.Without = append(r.Without, "more than one user id: that needs ranges in /etc/subuid and /etc/subgid, newuidmap and newgidmap")
	}
	switch {
	case i.Cgroups.Delegated != nil || a.ids.uid == 0:
	case i.Cgroups.UserSystemd:
		r.Without = append(r.Without, "limits, except with --systemd-cgroup: no cgroup is delegated to the caller itself")
	default:
		r.Without = append(r.Without, "limits: no cgroup is delegated to the caller")
	}
	if os.Getenv("XDG_RUNTIME_DIR") == "" && a.ids.uid != 0 {
		r.Without = append(r.Without, "a default state directory: XDG_RUNTIME_DIR is not set, so --root must be")
	}
	return r
}

// CRIU describes criu(8), which checkpoints containers.
type CRIU struct {
	Path    string `json:"path"` // "" if it is not installed
	Version string `json:"version,omitempty"`
}

// criuLimit is how long criu(8) may take to print its version.
const criuLimit = 5 * time.Second

func criu() CRIU {
	file, err := exec.LookPath("criu")
	if err != nil {
		return CRIU{}
	}
	c := CRIU{Path: file}
	if abs, err := filepath.Abs(file); err == nil {
		c.Path = abs
	}
	ctx, cancel := context.WithTimeout(context.Background(), criuLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, file, "--version").Output()
	if err != nil {
		return c
	}
	for line := range strings.Lines(string(out)) { // "Version: 4.1"
		if version, ok := strings.CutPrefix(line, "Version:"); ok {
			c.Version = strings.TrimSpace(version)
		}
	}
	return c
}

// releaseName returns PRETTY_NAME of an os-release file.
func releaseName(text string) string {
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			return strings.Trim(name, `"'`)
		}
	}
	return ""
}
