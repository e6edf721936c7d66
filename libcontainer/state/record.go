package state

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Version is the version of the record that this package writes. It reads this one and all older ones.
const Version = 1

// Record is what is known of a container. It is kept as lines:
//
//	orlop-record 1            the version
//	{"id":"c1","pid":77,...}  the exported fields of Record, which every command needs
//	process {"args":[...]}    sections, which only some commands need, and which are decoded when asked for
//	hooks {...}
//	end                       without it the record is not whole
//
// Later edits of config.json have no effect on a container, so what start, exec and delete need of it is in here.
type Record struct {
	ID         string `json:"id"`
	OCIVersion string `json:"ociVersion"`
	// Status is StateCreating until create has finished, then StateCreated. Whether the container runs or has stopped is
	// not recorded but looked up, since it changes without the runtime: see Dir.Probe and Alive.
	Status specs.ContainerState `json:"status"`
	Bundle string               `json:"bundle"`
	Rootfs string               `json:"rootfs"`
	// Pid and StartTime identify the container's first process; Pid is 0 when there is none yet.
	Pid       int    `json:"pid"`
	StartTime uint64 `json:"startTime"`
	// Created is when create began.
	Created time.Time `json:"created"`
	// Owner is the user that created the container.
	Owner int `json:"owner"`
	// Terminal says that the first process has a terminal.
	Terminal    bool              `json:"terminal,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// CgroupPaths are the folders of the container's cgroups, by controller or name; "" is the unified one.
	CgroupPaths map[string]string `json:"cgroupPaths,omitempty"`
	// Namespaces are the namespaces that the first process is in because config.json asked for them.
	Namespaces []Namespace `json:"namespaces,omitempty"`

	sections []section
}

// Namespace is one namespace of a container.
type Namespace struct {
	Type specs.LinuxNamespaceType `json:"type"`
	// Path is the path that it was joined by; empty when it was made for the container.
	Path string `json:"path,omitempty"`
	// Inode identifies the namespace.
	Inode uint64 `json:"inode,omitempty"`
}

type section struct {
	name string
	data []byte // JSON on one line
}

const (
	processSection = "process"
	hooksSection   = "hooks"
)

// Process decodes the configuration of the container's first process, which exec takes its defaults from; nil when
// there is none.
func (r *Record) Process() (*specs.Process, error) { return decode[specs.Process](r, processSection) }

// SetProcess sets what Process returns.
func (r *Record) SetProcess(p *specs.Process) error { return encode(r, processSection, p) }

// Hooks decodes the container's hooks; nil, at no cost, when there are none.
func (r *Record) Hooks() (*specs.Hooks, error) { return decode[specs.Hooks](r, hooksSection) }

// SetHooks sets what Hooks returns.
func (r *Record) SetHooks(h *specs.Hooks) error { return encode(r, hooksSection, h) }

func decode[T any](r *Record, name string) (*T, error) {
	for _, s := range r.sections {
		if s.name == name {
			v := new(T)
			if err := json.Unmarshal(s.data, v); err != nil {
				return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, name, err)
			}
			return v, nil
		}
	}
	return nil, nil
}

func encode[T any](r *Record, name string, v *T) error {
	kept := make([]section, 0, len(r.sections)+1)
	for _, s := range r.sections {
		if s.name != name {
			kept = append(kept, s)
		}
	}
	if v != nil {
		data, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("encode %s: %w", name, err)
		}
		kept = append(kept, section{name, data})
	}
	r.sections = kept
	return nil
}

const (
	magic   = "orlop-record "
	lastRow = "end\n"
)

// format returns the record as it is kept.
func (r *Record) format() ([]byte, error) {
	head, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	size := len(magic) + len(head) + len(lastRow) + 8
	for _, s := range r.sections {
		size += len(s.name) + len(s.data) + 2
	}
	b := make([]byte, 0, size)
	b = append(b, magic...)
	b = strconv.AppendInt(b, Version, 10)
	b = append(b, '\n')
	b = append(b, head...)
	b = append(b, '\n')
	for _, s := range r.sections {
		b = append(b, s.name...)
		b = append(b, ' ')
		b = append(b, s.data...)
		b = append(b, '\n')
	}
	return append(b, lastRow...), nil
}

// parse is the inverse of format. Sections are found but not decoded; ones that it does not know are kept.
func parse(data []byte) (*Record, error) {
	first, rest, ok := bytes.Cut(data, []byte{'\n'})
	number, isRecord := bytes.CutPrefix(first, []byte(magic))
	if !ok || !isRecord {
		return nil, fmt.Errorf("%w: no record", ErrDamaged)
	}
	version, err := strconv.Atoi(string(number))
	if err != nil || version < 1 {
		return nil, fmt.Errorf("%w: version %q", ErrDamaged, number)
	}
	if version > Version {
		return nil, fmt.Errorf("%w: %d, and this orlop knows those up to %d", ErrVersion, version, Version)
	}
	rest, ok = bytes.CutSuffix(rest, []byte(lastRow))
	head, rest, lineEnds := bytes.Cut(rest, []byte{'\n'})
	if !ok || !lineEnds {
		return nil, fmt.Errorf("%w: truncated", ErrDamaged)
	}
	r := new(Record)
	if err := json.Unmarshal(head, r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	for len(rest) > 0 {
		var line []byte
		if line, rest, ok = bytes.Cut(rest, []byte{'\n'}); !ok {
			return nil, fmt.Errorf("%w: truncated", ErrDamaged)
		}
		name, data, ok := bytes.Cut(line, []byte{' '})
		if !ok {
			return nil, fmt.Errorf("%w: section %.20q has no content", ErrDamaged, line)
		}
		r.sections = append(r.sections, section{string(name), data})
	}
	return r, nil
}
