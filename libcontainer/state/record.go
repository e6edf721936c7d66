package state

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/specconv"
)

// Record is what is known of a container. Later edits of config.json have no effect on a container, so what start, exec
// and delete need of it is in here.
type Record struct {
	ID         string
	OCIVersion string
	// Status is StateCreating until create has finished, then StateCreated. Whether the container runs or has stopped is
	// not recorded but looked up, since it changes without the runtime: see Dir.Probe and Alive.
	Status specs.ContainerState
	Bundle string
	Rootfs string
	// Pid and StartTime identify the container's first process; Pid is 0 when there is none yet.
	Pid       int
	StartTime uint64
	// Created is when create began. It is kept in UTC.
	Created time.Time
	// Owner is the user that created the container.
	Owner int
	// Terminal says that the first process has a terminal.
	Terminal    bool
	Annotations map[string]string
	// CgroupPaths are the folders of the container's cgroups, by controller or name; "" is the unified one.
	CgroupPaths map[string]string
	// FoundCgroups are the keys of those in CgroupPaths that were there before the container, one for each folder.
	FoundCgroups []string
	// SharedCgroup is set in records of orlop 0.1.0 alone: the cgroup was there before, and others may be in it.
	SharedCgroup bool
	// Unit is the name of the systemd unit that the container's cgroup is, "x.scope"; "" when it is none. UnitBus is whose
	// systemd has it: "system", or "user" for that of Owner.
	Unit, UnitBus string
	// RootMount is the number of the mount that holds those of a container without a mount namespace: it lies on Rootfs in the runtime's.
	// 0 is for none.
	RootMount uint64
	// Keyring is the name of the container's session keyring; "" when it has none, or none that can be joined.
	Keyring string
	// Namespaces are the namespaces that the first process is in because config.json asked for them.
	Namespaces []Namespace

	// RDTGroup is the folder of the container's control group in the resctrl file system and RDTMonitor that of its monitoring group, ""
	// for none. delete removes the latter, and the former if RDTOwned is set. They are here before they are made.
	RDTGroup, RDTMonitor string
	RDTOwned             bool

	// sections are the lines that only some commands need, decoded when asked for.
	sections []section
}

// Namespace is one namespace of a container.
type Namespace struct {
	Type specs.LinuxNamespaceType
	// Path is the path that it was joined by; empty when it was made for the container.
	Path string
	// Inode identifies the namespace; 0 when it is not known.
	Inode uint64
}

type section struct {
	name string
	data string // JSON on one line
}

// Seccomp is the filter of the container's processes, and the agent that has a say in it.
type Seccomp struct {
	Program          []byte `json:"program"`
	Flags            uint   `json:"flags,omitempty"`
	Notify           bool   `json:"notify,omitempty"`
	ListenerPath     string `json:"listenerPath,omitempty"`
	ListenerMetadata string `json:"listenerMetadata,omitempty"`
}

const (
	processSection = "process"
	seccompSection = "seccomp"
	hooksSection   = "hooks"
	linuxSection   = "linux"
	loansSection   = "loans"
	beforeSection  = "cgroupBefore"
)

// Linux is what of the configuration's section linux all processes of the container have, those that join it, too.
type Linux struct {
	Personality  *specs.LinuxPersonality  `json:"personality,omitempty"`
	MemoryPolicy *specs.LinuxMemoryPolicy `json:"memoryPolicy,omitempty"`
}

// Process decodes the configuration of the container's first process, which exec takes its defaults from; nil when
// there is none.
func (r *Record) Process() (*specs.Process, error) {
	data, ok := r.section(processSection)
	if !ok {
		return nil, nil
	}
	p, err := specconv.DecodeProcess([]byte(data))
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, processSection, err)
	}
	return p, nil
}

// SetProcess sets what Process returns.
func (r *Record) SetProcess(p *specs.Process) error {
	if p == nil {
		r.setSection(processSection, nil)
		return nil
	}
	data, err := specconv.EncodeProcess(p)
	r.setSection(processSection, data)
	return err
}

// Seccomp decodes the container's filter; nil, at no cost, when it has none.
func (r *Record) Seccomp() (*Seccomp, error) { return decode[Seccomp](r, seccompSection) }

// HasSeccomp reports whether there is one.
func (r *Record) HasSeccomp() bool {
	_, has := r.section(seccompSection)
	return has
}

// SetSeccomp sets what Seccomp returns. It writes by itself what encoding/json would: the first use of that takes 0.1 ms.
func (r *Record) SetSeccomp(s *Seccomp) {
	if s == nil {
		r.setSection(seccompSection, nil)
		return
	}
	b := make([]byte, 0, 256+base64.StdEncoding.EncodedLen(len(s.Program)))
	b = append(base64.StdEncoding.AppendEncode(append(b, `{"program":"`...), s.Program), `","flags":`...)
	b = strconv.AppendUint(b, uint64(s.Flags), 10)
	b = strconv.AppendBool(append(b, `,"notify":`...), s.Notify)
	b = specconv.AppendJSON(append(b, `,"listenerPath":`...), s.ListenerPath)
	b = specconv.AppendJSON(append(b, `,"listenerMetadata":`...), s.ListenerMetadata)
	r.setSection(seccompSection, append(b, '}'))
}

// Hooks decodes the container's hooks; nil, at no cost, when there are none.
func (r *Record) Hooks() (*specs.Hooks, error) { return decode[specs.Hooks](r, hooksSection) }

// SetHooks sets what Hooks returns.
func (r *Record) SetHooks(h *specs.Hooks) error { return encode(r, hooksSection, h) }

// Linux decodes what SetLinux was given; nil, at no cost, when there is none.
func (r *Record) Linux() (*Linux, error) { return decode[Linux](r, linuxSection) }

// SetLinux sets what Linux returns.
func (r *Record) SetLinux(l *Linux) error { return encode(r, linuxSection, l) }

// CgroupBefore returns what those of the container's cgroups were like that were there before it, of which only its writer needs to know the form; nil when
// there were none.
func (r *Record) CgroupBefore() (*json.RawMessage, error) {
	return decode[json.RawMessage](r, beforeSection)
}

// SetCgroupBefore sets what CgroupBefore returns.
func (r *Record) SetCgroupBefore(b *json.RawMessage) error { return encode(r, beforeSection, b) }

// Loans decodes the network devices that are on their way into the container; nil, at no cost, when there are none. They are there only
// until the container is complete: found in the record of one whose creator was killed, they are to be returned.
func (r *Record) Loans() (*Loans, error) { return decode[Loans](r, loansSection) }

// SetLoans sets what Loans returns; nil removes them.
func (r *Record) SetLoans(l *Loans) error { return encode(r, loansSection, l) }

// Loans are network devices between the runtime's network namespace and a container's.
type Loans struct {
	// Namespace is the inode of the container's network namespace.
	Namespace uint64 `json:"namespace"`
	// Devices are the descriptions, of which only their writer needs to know the form.
	Devices json.RawMessage `json:"devices"`
}

func decode[T any](r *Record, name string) (*T, error) {
	data, ok := r.section(name)
	if !ok {
		return nil, nil
	}
	v := new(T)
	if err := json.Unmarshal([]byte(data), v); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, name, err)
	}
	return v, nil
}

func encode[T any](r *Record, name string, v *T) error {
	if v == nil {
		r.setSection(name, nil)
		return nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	r.setSection(name, data)
	return nil
}

func (r *Record) section(name string) (data string, ok bool) {
	for _, s := range r.sections {
		if s.name == name {
			return s.data, true
		}
	}
	return "", false
}

// setSection sets a section; nil removes it.
func (r *Record) setSection(name string, data []byte) {
	kept := make([]section, 0, len(r.sections)+1)
	for _, s := range r.sections {
		if s.name != name {
			kept = append(kept, s)
		}
	}
	if data != nil {
		kept = append(kept, section{name, string(data)})
	}
	r.sections = kept
}
