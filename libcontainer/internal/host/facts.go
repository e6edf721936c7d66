package host

import (
	"errors"
	"os"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/libcontainer/signals"
	"github.com/orlop/orlop/specconv"
)

// Facts gathers what the planner must know of the host for this bundle, except the placement of the
// container's processes.
func Facts(own Rights, b *specconv.Bundle) (setup.Facts, error) {
	f, err := ProcessFacts(own, b.Spec.Process)
	if err != nil {
		return f, err
	}
	if err := sourceFacts(b, &f); err != nil {
		return f, err
	}
	if f.DirectoryMode, err = tmpfsModes(b); err != nil {
		return f, err
	}
	if f.UserFacts, err = userFacts(own, b); err != nil {
		return f, err
	}
	if err := sharedFacts(b, &f); err != nil {
		return f, err
	}
	f.ProcOfOthers, err = procOfOthers(b)
	if err != nil {
		return f, err
	}
	if l := b.Spec.Linux; l != nil && l.MountLabel != "" {
		f.SELinux = selinuxEnabled("")
	}
	if l := b.Spec.Linux; l != nil && strings.HasSuffix(l.RootfsPropagation, "shared") {
		f.RootParent, _, err = MountOf(b.Rootfs)
	}
	return f, err
}

// procOfOthers reports whether the kernel can mount a procfs of a joined PID namespace for a caller
// outside of it. A caller that may not mount yet, for lack of a user namespace, goes by the
// kernel's version.
func procOfOthers(b *specconv.Bundle) (bool, error) {
	n, ok := b.Namespace(specs.PIDNamespace)
	if !ok || n.Path == "" {
		return false, nil
	}
	fs, err := unix.Fsopen("proc", unix.FSOPEN_CLOEXEC)
	if errors.Is(err, unix.EPERM) {
		names, err := sys.Uname()
		return names.KernelFrom(6, 17), err
	}
	if err != nil {
		return false, os.NewSyscallError("fsopen", err)
	}
	defer unix.Close(fs)
	return unix.FsconfigSetString(fs, "pidns", "/proc/self/ns/pid") == nil, nil
}

// ProcessFacts gathers what the planner must know for any process.
func ProcessFacts(own Rights, p *specs.Process) (setup.Facts, error) {
	f := setup.Facts{LastCap: lastCap(), Ignored: signals.Ignored(), Grantable: own.Permitted}
	return f, labelFacts(&f, p)
}
