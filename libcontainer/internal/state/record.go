package state

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/specconv/codec"
)

//go:generate go run github.com/orlop/orlop/specconv/codec/gen Record

// Version is the version of the record that this package writes and reads. A new member that older
// programs may ignore needs no new version.
const Version = 2

// Record describes a container; it is stored as JSON. Later edits of config.json have no effect on
// a container, so the record holds all that start, exec and delete need of that file.
type Record struct {
	// Version is set by Write.
	Version    int    `json:"version"`
	ID         string `json:"id"`
	OCIVersion string `json:"ociVersion"`
	// Status is StateCreating until create has finished, then StateCreated. Whether the container
	// runs or has stopped changes without the runtime and is not recorded: see Dir.Probe and Alive.
	Status specs.ContainerState `json:"status"`
	Bundle string               `json:"bundle"`
	Rootfs string               `json:"rootfs"`
	// Pid and StartTime identify the container's first process; Pid is 0 before it exists.
	Pid       int    `json:"pid"`
	StartTime uint64 `json:"startTime"`
	// Created is when create began, in UTC.
	Created time.Time `json:"created"`
	// Owner is the user that created the container.
	Owner int `json:"owner"`
	// Terminal says that the first process has a terminal.
	Terminal    bool              `json:"terminal,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// CgroupPaths are the directories of the container's cgroups, by controller or name; "" is the
	// unified one.
	CgroupPaths map[string]string `json:"cgroupPaths,omitempty"`
	// FoundCgroups are the keys of those in CgroupPaths that existed before the container, one for
	// each directory.
	FoundCgroups []string `json:"foundCgroups,omitempty"`
	// CgroupBefore is the earlier state of those cgroups, in a format private to its writer.
	CgroupBefore json.RawMessage `json:"cgroupBefore,omitempty"`
	// Unit is the name of the systemd unit whose cgroup the container has, such as "x.scope"; "" if
	// there is no unit. UnitBus is "system", or "user" for Owner's systemd instance.
	Unit    string `json:"unit,omitempty"`
	UnitBus string `json:"unitBus,omitempty"`
	// RootMount is the id of the mount on Rootfs, in the runtime's mount namespace, of a container
	// that has no mount namespace; all its other mounts are below. 0 means none.
	RootMount uint64 `json:"rootMount,omitempty"`
	// Keyring is the name of the container's session keyring; "" if there is none that a process can
	// join.
	Keyring string `json:"keyring,omitempty"`
	// Namespaces are the namespaces that the first process is in because config.json asked for them.
	Namespaces []Namespace `json:"namespaces,omitempty"`

	// RDTGroup is the directory of the container's control group in the resctrl filesystem and
	// RDTMonitor that of its monitoring group, "" for none. delete removes the latter, and the former
	// if RDTOwned is set. They are recorded before they are created.
	RDTGroup   string `json:"rdtGroup,omitempty"`
	RDTMonitor string `json:"rdtMonitor,omitempty"`
	RDTOwned   bool   `json:"rdtOwned,omitempty"`

	// Process is the configuration of the first process, which exec takes its defaults from.
	Process *specs.Process `json:"process,omitempty"`
	Hooks   *specs.Hooks   `json:"hooks,omitempty"`
	Seccomp *Seccomp       `json:"seccomp,omitempty"`
	// Personality and MemoryPolicy are those of all processes of the container.
	Personality  *specs.LinuxPersonality  `json:"personality,omitempty"`
	MemoryPolicy *specs.LinuxMemoryPolicy `json:"memoryPolicy,omitempty"`
	// MovedDevices are the network devices that are being moved into the container. They are recorded only
	// until the container is complete. If the creator was killed, delete returns them.
	MovedDevices *MovedDevices `json:"movedDevices,omitempty"`
	// Remaining are the operations that the first process still has to do when it is started.
	Remaining []Operation `json:"remaining,omitempty"`
}

// Namespace returns the container's namespace of a type, if it is not the runtime's.
func (r *Record) Namespace(t specs.LinuxNamespaceType) (Namespace, bool) {
	i := slices.IndexFunc(r.Namespaces, func(n Namespace) bool { return n.Type == t })
	if i < 0 {
		return Namespace{}, false
	}
	return r.Namespaces[i], true
}

// Owns reports whether the container's namespace of a type was created for it.
func (r *Record) Owns(t specs.LinuxNamespaceType) bool {
	n, ok := r.Namespace(t)
	return ok && n.Path == ""
}

// Joined reports whether the container joined an existing namespace of a type.
func (r *Record) Joined(t specs.LinuxNamespaceType) bool {
	n, ok := r.Namespace(t)
	return ok && n.Path != ""
}

// Namespace is one namespace of a container.
type Namespace struct {
	Type specs.LinuxNamespaceType `json:"type"`
	// Path is the path that was joined; empty when the namespace was created for the container.
	Path string `json:"path,omitempty"`
	// Inode identifies the namespace; 0 when it is not known.
	Inode uint64 `json:"inode,omitempty"`
}

// Seccomp is the filter of the container's processes and the address of its seccomp agent.
type Seccomp struct {
	Program          []byte `json:"program"`
	Flags            uint   `json:"flags,omitempty"`
	Notify           bool   `json:"notify,omitempty"`
	ListenerPath     string `json:"listenerPath,omitempty"`
	ListenerMetadata string `json:"listenerMetadata,omitempty"`
}

// MovedDevices are network devices between the runtime's network namespace and a container's.
type MovedDevices struct {
	// Namespace is the inode of the container's network namespace.
	Namespace uint64 `json:"namespace"`
	// Devices describes the devices, in a format private to its writer.
	Devices json.RawMessage `json:"devices"`
}

// Operation is one operation of the first process's program. `start`, which does not know the
// program, uses it to report which step failed.
type Operation struct {
	Op    int    `json:"op"`              // its number in the program
	Call  string `json:"call,omitempty"`  // the system call
	Title string `json:"title"`           // the step, for people
	Field string `json:"field,omitempty"` // the step's JSON path in config.json
}

// format returns the record's stored form. Paths may contain any bytes.
func (r *Record) format() []byte {
	r.Version, r.Created = Version, r.Created.UTC()
	e := codec.Encoder{Buf: make([]byte, 0, 8<<10), AnyBytes: true}
	encodeRecord(&e, r)
	return append(e.Buf, '\n')
}

// parse is the inverse of format.
func parse(data []byte) (*Record, error) {
	if bytes.HasPrefix(data, []byte("orlop-record 1\n")) {
		return nil, fmt.Errorf("%w: version 1: delete the container with the older orlop that created it", ErrDamaged)
	}
	r, fault := new(Record), ""
	d := codec.Decoder{AnyBytes: true, Fault: func(path, problem string) {
		if fault == "" {
			fault = strings.TrimPrefix(path+": "+problem, ": ")
		}
	}}
	err := codec.Decode(&d, data, r, decodeRecord)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	case r.Version > Version:
		return nil, fmt.Errorf("%w: %d, and this orlop knows %d", ErrVersion, r.Version, Version)
	case fault != "":
	case r.Version != Version:
		fault = "version: is required"
	case r.ID == "":
		fault = "id: is required"
	case r.RDTGroup == "" && (r.RDTMonitor != "" || r.RDTOwned):
		fault = "rdtGroup: is required with rdtMonitor and rdtOwned"
	case r.Unit == "" && r.UnitBus != "":
		fault = "unit: is required with unitBus"
	}
	if fault != "" {
		return nil, fmt.Errorf("%w: %s", ErrDamaged, fault)
	}
	return r, nil
}
