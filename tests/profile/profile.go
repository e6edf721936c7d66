// Package profile holds Docker's default seccomp profile for tests and measurements.
//
// docker.json is linux.seccomp of a configuration, as Docker 28 writes it on amd64 for a container with its fourteen default capabilities:
// rules that hang on another capability or architecture are left out, those for Linux 4.8 and later are in. It is on
// purpose newer than the libseccomp of many distributions, which does not know all of its names.
package profile

import (
	_ "embed"
)

//go:embed docker.json
var docker string

// Docker returns the profile.
func Docker() []byte { return []byte(docker) }

// Capabilities are Docker's default ones, which the profile belongs to.
func Capabilities() []string {
	return []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID",
		"CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"}
}
