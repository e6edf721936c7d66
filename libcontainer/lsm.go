package libcontainer

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/specconv"
)

// labelFacts finds out which security modules are there to confine a process, as far as its configuration asks for one. A profile that is
// not loaded is an error.
func labelFacts(f *setup.Facts, p *specs.Process) (err error) {
	if p == nil {
		return nil
	}
	if p.SelinuxLabel != "" {
		f.SELinux = selinuxEnabled()
	}
	if p.ApparmorProfile == "" {
		return nil
	}
	if f.AppArmor, err = appArmorEnabled(); err != nil || !f.AppArmor {
		return err
	}
	if err := profileLoaded(p.ApparmorProfile); err != nil {
		return err
	}
	current, err := sys.ReadFile("/proc/self/attr/apparmor/current")
	f.Confined = isConfined(string(current))
	return err
}

// isConfined tells from the text of a process's attr/apparmor/current whether a profile confines it: "NAME (enforce)", or several
// with "//&" between them.
func isConfined(current string) bool { return strings.TrimRight(current, "\n\x00") != "unconfined" }

func appArmorEnabled() (bool, error) {
	data, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return strings.HasPrefix(string(data), "Y"), err
}

// profileLoaded looks for a profile among those that the kernel has. Where it does not tell, the exec will.
func profileLoaded(name string) error {
	data, err := os.ReadFile("/sys/kernel/security/apparmor/profiles")
	if err != nil || name == "unconfined" {
		return nil
	}
	// "docker-default (enforce)"; a name may have blanks.
	for line := range bytes.Lines(data) {
		if i := bytes.LastIndex(line, []byte(" (")); i >= 0 && string(line[:i]) == name {
			return nil
		}
	}
	return specconv.Fault{Path: "process.apparmorProfile", Problem: fmt.Sprintf("the profile %q is not loaded", name)}
}

// selinuxEnabled reports whether SELinux is there with a policy: then its file system is mounted.
func selinuxEnabled() bool {
	var st unix.Statfs_t
	return unix.Statfs("/sys/fs/selinux", &st) == nil && st.Type == unix.SELINUX_MAGIC
}
