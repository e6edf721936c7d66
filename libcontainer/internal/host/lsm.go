package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/libcontainer/internal/needs"
	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/specconv"
)

// In this file root is the directory that holds /proc and /sys: "", or a test's.

// labelFacts finds out whether the security modules that a process's configuration asks for are
// enabled. A profile that is not loaded is an error.
func labelFacts(f *setup.Facts, p *specs.Process) (err error) {
	if p == nil {
		return nil
	}
	if p.SelinuxLabel != "" {
		f.SELinux = selinuxEnabled("")
	}
	if p.ApparmorProfile == "" {
		return nil
	}
	if f.AppArmor, err = appArmorEnabled(""); err != nil || !f.AppArmor {
		return err
	}
	// If the kernel does not list its profiles, the exec will fail.
	if loaded, err := profileLoaded("", p.ApparmorProfile); err == nil && !loaded {
		return specconv.Invalid("process.apparmorProfile", fmt.Sprintf("the profile %q is not loaded", p.ApparmorProfile))
	}
	current, err := sys.ReadFile("/proc/self/attr/apparmor/current")
	f.Confined = isConfined(string(current))
	return err
}

// isConfined reports from the text of a process's attr/apparmor/current whether a profile confines
// it: "NAME (enforce)", or several with "//&" between them.
func isConfined(current string) bool { return strings.TrimRight(current, "\n\x00") != "unconfined" }

func appArmorEnabled(root string) (bool, error) {
	data, err := sys.ReadFile(root + "/sys/module/apparmor/parameters/enabled")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return strings.HasPrefix(string(data), "Y"), err
}

// profileLoaded reports whether the kernel has loaded an AppArmor profile. The profile "unconfined"
// always exists.
func profileLoaded(root, name string) (bool, error) {
	if name == "unconfined" {
		return true, nil
	}
	data, err := sys.ReadFile(root + "/sys/kernel/security/apparmor/profiles")
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(data)) {
		// "docker-default (enforce)": a name may contain blanks.
		if i := strings.LastIndex(line, " ("); i >= 0 && line[:i] == name {
			return true, nil
		}
	}
	return false, nil
}

// selinuxEnabled reports whether SELinux is enabled and has a policy: then its filesystem is
// mounted.
func selinuxEnabled(root string) bool {
	_, err := os.Stat(root + "/sys/fs/selinux/enforce")
	return err == nil
}

// lsms returns the active security modules in the kernel's order; nil if they are not known.
func (a *asking) lsms() []string {
	text := a.text("/sys/kernel/security/lsm")
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// appArmor checks that a profile is loaded.
func (a *asking) appArmor(n needs.Need) error {
	if enabled, err := appArmorEnabled(a.root); err != nil {
		return err
	} else if !enabled {
		return lacks("AppArmor is not enabled: there are no profiles")
	}
	loaded, err := profileLoaded(a.root, n.Name)
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist):
		return errUnknown
	case err != nil:
		return err
	case !loaded:
		return lacks("the AppArmor profile %s is not loaded", n.Name)
	}
	return nil
}

// selinux asks the kernel whether the policy knows a label.
func (a *asking) selinux(n needs.Need) error {
	if !selinuxEnabled(a.root) {
		return nil // the planner then warns that the label has no effect
	}
	f, err := os.OpenFile(a.root+"/sys/fs/selinux/context", os.O_RDWR, 0)
	if err != nil {
		return errUnknown
	}
	defer f.Close()
	if _, err := f.Write([]byte(n.Name)); err != nil {
		return lacks("SELinux's policy does not know the label %s: %s", n.Name, reason(err))
	}
	return nil
}
