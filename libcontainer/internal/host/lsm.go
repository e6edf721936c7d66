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

// In this file root is the directory that /proc and /sys are looked for in: "", or a test's.

// labelFacts finds out which security modules are there to confine a process, as far as its
// configuration asks for one. A profile that is not loaded is an error.
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

// profileLoaded reports whether the kernel has an AppArmor profile. A profile of the name
// "unconfined" is always there.
func profileLoaded(root, name string) (bool, error) {
	if name == "unconfined" {
		return true, nil
	}
	data, err := sys.ReadFile(root + "/sys/kernel/security/apparmor/profiles")
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(data)) {
		// "docker-default (enforce)": a name may have blanks.
		if i := strings.LastIndex(line, " ("); i >= 0 && line[:i] == name {
			return true, nil
		}
	}
	return false, nil
}

// selinuxEnabled reports whether SELinux is there with a policy: then its filesystem is mounted.
func selinuxEnabled(root string) bool {
	_, err := os.Stat(root + "/sys/fs/selinux/enforce")
	return err == nil
}

// lsms returns the security modules that are active, in their order; nil if they are not known.
func (a *asking) lsms() []string {
	text := a.text("/sys/kernel/security/lsm")
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// appArmor looks for a profile that is loaded.
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

// selinux asks the policy whether it knows a label.
func (a *asking) selinux(n needs.Need) error {
	if !selinuxEnabled(a.root) {
		return nil // then the plan warns that there is no label
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
