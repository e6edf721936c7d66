package state

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Version is the version of the record that this package writes. It reads this one and all older ones. A new key that
// older programs may pass over needs no new version.
const Version = 1

// A record is kept as lines of a key and its values. Strings are quoted as in Go, so no value has a line feed:
//
//	orlop-record 1                     the version
//	id "c1"
//	pid 77
//	...
//	annotation "key" "value"           one line for each
//	cgroup "memory" "/sys/fs/cgroup/memory/c1"
//	unit "system" "orlop-c1.scope"     none without systemd
//	namespace "network" "/run/netns/n" 4026531840
//	process {"args":[...]}             a section
//	end                                without it the record is not whole
//
// The file holds the records that were written one after the other; the last whole one counts.
//
// The format is not JSON because of the state command: the first use of encoding/json in a process takes 0.2 to 0.3 ms for
// these fields, more than all other work of that command, and this takes a tenth of it.
const (
	magic   = "orlop-record "
	lastRow = "end\n"
)

// format returns the record as it is kept.
func (r *Record) format() []byte {
	w := writer(make([]byte, 0, 4<<10))
	w.line(magic+strconv.Itoa(Version), "")
	w.text("id", r.ID)
	w.text("ociVersion", r.OCIVersion)
	w.text("status", string(r.Status))
	w.text("bundle", r.Bundle)
	w.text("rootfs", r.Rootfs)
	w.line("pid", strconv.Itoa(r.Pid))
	w.line("startTime", strconv.FormatUint(r.StartTime, 10))
	w.line("created", r.Created.UTC().Format(time.RFC3339Nano))
	w.line("owner", strconv.Itoa(r.Owner))
	w.line("terminal", strconv.FormatBool(r.Terminal))
	for _, key := range slices.Sorted(maps.Keys(r.Annotations)) {
		w.text("annotation", key, r.Annotations[key])
	}
	for _, key := range slices.Sorted(maps.Keys(r.CgroupPaths)) {
		w.text("cgroup", key, r.CgroupPaths[key])
	}
	if r.SharedCgroup {
		w.line("sharedCgroup", "true")
	}
	for _, key := range r.FoundCgroups {
		w.text("foundCgroup", key)
	}
	if r.Keyring != "" {
		w.text("keyring", r.Keyring)
	}
	if r.Unit != "" {
		w.text("unit", r.UnitBus, r.Unit)
	}
	if r.RootMount != 0 {
		w.line("rootMount", strconv.FormatUint(r.RootMount, 10))
	}
	for _, n := range r.Namespaces {
		w.line("namespace", strconv.Quote(string(n.Type))+" "+strconv.Quote(n.Path)+" "+strconv.FormatUint(n.Inode, 10))
	}
	if r.RDTGroup != "" {
		w.text("rdt", r.RDTGroup, r.RDTMonitor)
		w.line("rdtOwned", strconv.FormatBool(r.RDTOwned))
	}
	for _, s := range r.sections {
		w.line(s.name, s.data)
	}
	return append(w, lastRow...)
}

type writer []byte

func (w *writer) line(key, value string) {
	*w = append(*w, key...)
	if value != "" {
		*w = append(*w, ' ')
		*w = append(*w, value...)
	}
	*w = append(*w, '\n')
}

func (w *writer) text(key string, values ...string) {
	*w = append(*w, key...)
	for _, v := range values {
		*w = append(*w, ' ')
		*w = strconv.AppendQuote(*w, v)
	}
	*w = append(*w, '\n')
}

// latest returns the last whole record of a file that was appended to. The error is ErrNoRecord when the file ends in the middle of
// the first one.
func latest(data []byte) ([]byte, error) {
	end := bytes.LastIndex(data, []byte("\n"+lastRow))
	if end < 0 {
		if begin := magic + strconv.Itoa(Version) + "\n"; strings.HasPrefix(begin, string(data[:min(len(data), len(begin))])) {
			return nil, ErrNoRecord
		}
		return data, nil // parse says what is wrong with it
	}
	end += 1 + len(lastRow)
	start := bytes.LastIndex(data[:end], []byte("\n"+magic)) + 1
	return data[start:end], nil
}

// parse is the inverse of format. Sections are found but not decoded; lines with keys that it does not know are kept.
func parse(data []byte) (*Record, error) {
	first, rest, ok := strings.Cut(string(data), "\n")
	number, isRecord := strings.CutPrefix(first, magic)
	if !ok || !isRecord {
		return nil, fmt.Errorf("%w: no record", ErrDamaged)
	}
	version, err := strconv.Atoi(number)
	if err != nil || version < 1 {
		return nil, fmt.Errorf("%w: version %.20q", ErrDamaged, number)
	}
	if version > Version {
		return nil, fmt.Errorf("%w: %d, and this orlop knows those up to %d", ErrVersion, version, Version)
	}
	rest, ok = strings.CutSuffix(rest, lastRow)
	if !ok || rest != "" && !strings.HasSuffix(rest, "\n") {
		return nil, fmt.Errorf("%w: truncated", ErrDamaged)
	}
	r := new(Record)
	for number := 2; rest != ""; number++ {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		if err := r.parseLine(line); err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrDamaged, number, err)
		}
	}
	switch {
	case r.ID == "":
		return nil, fmt.Errorf("%w: no id", ErrDamaged)
	case r.RDTGroup == "" && (r.RDTMonitor != "" || r.RDTOwned):
		return nil, fmt.Errorf("%w: rdtOwned or a monitoring group, and no group", ErrDamaged)
	case r.Unit == "" && r.UnitBus != "":
		return nil, fmt.Errorf("%w: unit without a name", ErrDamaged)
	}
	return r, nil
}

func (r *Record) parseLine(line string) (err error) {
	key, value, _ := strings.Cut(line, " ")
	v := values{rest: value}
	switch key {
	case "id":
		r.ID = v.text()
	case "ociVersion":
		r.OCIVersion = v.text()
	case "status":
		r.Status = specs.ContainerState(v.text())
	case "bundle":
		r.Bundle = v.text()
	case "rootfs":
		r.Rootfs = v.text()
	case "pid":
		r.Pid, err = strconv.Atoi(v.word())
	case "startTime":
		r.StartTime, err = strconv.ParseUint(v.word(), 10, 64)
	case "created":
		r.Created, err = time.Parse(time.RFC3339Nano, v.word())
	case "owner":
		r.Owner, err = strconv.Atoi(v.word())
	case "terminal":
		r.Terminal, err = strconv.ParseBool(v.word())
	case "sharedCgroup":
		r.SharedCgroup, err = strconv.ParseBool(v.word())
	case "annotation":
		put(&r.Annotations, v.text(), v.text())
	case "cgroup":
		put(&r.CgroupPaths, v.text(), v.text())
	case "foundCgroup":
		r.FoundCgroups = append(r.FoundCgroups, v.text())
	case "keyring":
		r.Keyring = v.text()
	case "unit":
		r.UnitBus, r.Unit = v.text(), v.text()
	case "rootMount":
		r.RootMount, err = strconv.ParseUint(v.word(), 10, 64)
	case "namespace":
		n := Namespace{Type: specs.LinuxNamespaceType(v.text()), Path: v.text()}
		n.Inode, err = strconv.ParseUint(v.word(), 10, 64)
		r.Namespaces = append(r.Namespaces, n)
	case "rdt":
		r.RDTGroup, r.RDTMonitor = v.text(), v.text()
	case "rdtOwned":
		r.RDTOwned, err = strconv.ParseBool(v.word())
	default:
		r.sections = append(r.sections, section{name: key, data: v.word()})
	}
	if v.err != nil {
		return v.err
	}
	if err == nil && v.rest != "" {
		err = fmt.Errorf("%s: more than it should be: %.20q", key, v.rest)
	}
	return err
}

func put(m *map[string]string, key, value string) {
	if *m == nil {
		*m = make(map[string]string)
	}
	(*m)[key] = value
}

// values takes apart the values of a line. The first error stays.
type values struct {
	rest string
	err  error
}

// text takes a quoted string.
func (v *values) text() string {
	quoted, err := strconv.QuotedPrefix(v.rest)
	if err != nil {
		if v.err == nil {
			v.err = fmt.Errorf("no string: %.20q", v.rest)
		}
		return ""
	}
	v.rest = strings.TrimPrefix(v.rest[len(quoted):], " ")
	// What has a valid quoted prefix can be unquoted.
	s, _ := strconv.Unquote(quoted)
	return s
}

// word takes all that is left.
func (v *values) word() string {
	s := v.rest
	v.rest = ""
	return s
}
