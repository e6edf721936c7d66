package hostinfo

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/orlop/orlop/libcontainer/needs"
)

// LSMs returns the security modules that are active, in their order; nil where that cannot be found out.
func (a *asking) lsms() []string {
	text := a.text("/sys/kernel/security/lsm")
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

func (a *asking) appArmorEnabled() bool {
	return a.text("/sys/module/apparmor/parameters/enabled") == "Y"
}

// appArmor looks for a profile that is loaded.
func (a *asking) appArmor(n needs.Need) error {
	switch {
	case !a.appArmorEnabled():
		return lacks("AppArmor is not enabled: there are no profiles")
	case n.Name == "unconfined":
		return nil
	}
	data, err := os.ReadFile(a.root + "/sys/kernel/security/apparmor/profiles")
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		return errUnknown
	}
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		// A profile's name may have blanks, and its mode follows in parentheses.
		line = strings.TrimSpace(line)
		if i := strings.LastIndex(line, " ("); i >= 0 && line[:i] == n.Name {
			return nil
		}
	}
	return lacks("the AppArmor profile %s is not loaded", n.Name)
}

func (a *asking) selinuxEnabled() bool { return a.exists("/sys/fs/selinux/enforce") }

// selinux asks the policy whether it knows a label.
func (a *asking) selinux(n needs.Need) error {
	if !a.selinuxEnabled() {
		return nil // then there is no label, which the plan warns of
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
