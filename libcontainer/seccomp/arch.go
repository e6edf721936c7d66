package seccomp

import (
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// libraryName returns libseccomp-golang's name of an architecture: "SCMP_ARCH_MIPSEL64N32" is "mipsel64n32".
func libraryName(a specs.Arch) string {
	return strings.ToLower(strings.TrimPrefix(string(a), "SCMP_ARCH_"))
}
