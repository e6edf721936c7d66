// Package host finds out what this host has and what the caller may do on it. It tries system calls
// in ways that change nothing, and reads /proc, /sys and the cgroup filesystems with the caller's
// privileges.
//
// [Facts] and [ProcessFacts] gather what the planner must know, [Answers] checks what a container
// needs, and [Gather] describes the host as a whole.
package host

import (
	"fmt"

	"github.com/orlop/orlop/libcontainer/internal/needs"
	"github.com/orlop/orlop/specconv"
)

// A Lack is something that the host does not have.
type Lack struct {
	Text string
	// Since is the first version of Linux that has it, if that is the cause.
	Since string
}

func (l *Lack) Error() string {
	if l.Since != "" {
		return l.Text + " (since Linux " + l.Since + ")"
	}
	return l.Text
}

func lacks(format string, args ...any) error { return &Lack{Text: fmt.Sprintf(format, args...)} }

// A probe checks one kind of need. It returns nil if the host has it, a *Lack if not, and another
// error if the caller cannot find out.
type probe struct {
	kind needs.Kind
	ask  func(*asking, needs.Need) error
}

// probes is the table of probes, one for each kind.
func probes() []probe {
	return []probe{
		{needs.Feature, (*asking).feature},
		{needs.FileSystem, (*asking).fileSystem},
		{needs.Disk, (*asking).disk},
		{needs.Source, (*asking).path},
		{needs.Path, (*asking).path},
		{needs.Namespace, (*asking).namespace},
		{needs.NamespaceFile, (*asking).namespaceFile},
		{needs.UserIDs, (*asking).userIDs},
		{needs.GroupIDs, (*asking).groupIDs},
		{needs.Capability, (*asking).capability},
		{needs.Program, (*asking).program},
		{needs.Directory, (*asking).directory},
		{needs.HostProgram, (*asking).hostProgram},
		{needs.Device, (*asking).device},
		{needs.AppArmor, (*asking).appArmor},
		{needs.SELinux, (*asking).selinux},
		{needs.SeccompAction, (*asking).seccompAction},
		{needs.SeccompFlag, (*asking).seccompFlag},
		{needs.Interface, (*asking).networkInterface},
		{needs.Resctrl, (*asking).resctrl},
		{needs.Processors, (*asking).processors},
		{needs.Clock, (*asking).clock},
		{needs.Limit, (*asking).limit},
		{needs.MemoryNodes, (*asking).memoryNodes},
		{needs.Socket, (*asking).socket},
		{needs.Writable, (*asking).writable},
	}
}

// An asking is one round of probes.
type asking struct {
	// root is the directory of /proc, /sys and /etc: "", or a test's.
	root   string
	bundle *specconv.Bundle
	rights Rights
	ids    ids
}

// Answers answers needs in their order: nil when the host has it, a *[Lack] when not, and another
// error when the caller cannot find out. Needs of a root filesystem are looked up in the bundle's.
func Answers(b *specconv.Bundle, list []needs.Requirement) ([]error, error) {
	a := &asking{bundle: b}
	if err := a.begin(); err != nil {
		return nil, err
	}
	answers := make([]error, len(list))
	for i := range list {
		answers[i] = a.ask(list[i].Need)
	}
	return answers, nil
}

func (a *asking) ask(n needs.Need) error {
	for _, p := range probes() {
		if p.kind == n.Kind {
			return p.ask(a, n)
		}
	}
	return fmt.Errorf("%s: no probe", n.Kind)
}

// begin reads the caller's rights and ids.
func (a *asking) begin() (err error) {
	if a.rights, err = ReadRights(); err != nil {
		return err
	}
	a.ids, err = a.ownIDs()
	return err
}
