//go:build !seccomp

package seccomp

import specs "github.com/opencontainers/runtime-spec/specs-go"

func compilerVersion() (string, error) { return "", ErrUnavailable }

func compile(*specs.LinuxSeccomp) ([]byte, error) { return nil, ErrUnavailable }

// Version returns the version of libseccomp, "" here.
func Version() string { return "" }

// Available reports whether this build has a compiler.
const Available = false
