package cgroups

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Before describes the directories of a cgroup that existed before the container: what Create
// changes in them, and what is below. The state record keeps it.
type Before struct {
	Files  []ControlFile `json:"files,omitempty"`
	Owners []FileOwner   `json:"owners,omitempty"`
	Below  []string      `json:"below,omitempty"`
	// Rules is set when the device rules of cgroup2 were changed, and Programs is the number of
	// programs that enforced the old ones.
	Rules    bool `json:"rules,omitempty"`
	Programs int  `json:"programs,omitempty"`

	programs []deviceProgramFile // nil after Load
}

// A ControlFile is a control file and its former content.
type ControlFile struct {
	Path string `json:"path"`
	Text string `json:"text"`
}

// A FileOwner is a file or a directory, and its former owner.
type FileOwner struct {
	Path string `json:"path"`
	UID  int    `json:"uid"`
}

// Before describes the directories that existed before the container, nil when there were none. It
// is complete after Create and Own.
func (m *Manager) Before() *Before { return m.before }

// SetBefore sets, after SetFound, what Before returned earlier.
func (m *Manager) SetBefore(b *Before) { m.before = b }

// note records what is about to be changed in existing directories.
func (m *Manager) note(l *limits) error {
	b := m.before
	for i := range l.list {
		s := &l.list[i]
		f := m.directoryOf(s)
		if !f.found {
			continue
		}
		b.file(f.dir, s.file)
		if s.otherFile != "" {
			b.file(f.dir, s.otherFile)
		}
		if s.file == "cpu.idle" { // cpu.idle changes these
			b.file(f.dir, "cpu.shares")
			b.file(f.dir, "cpu.weight")
		}
	}
	for _, f := range m.all() {
		if !f.found {
			continue
		}
		if f.has("cpuset") {
			b.file(f.dir, "cpuset.cpus")
			b.file(f.dir, "cpuset.mems")
		}
		if d, v := m.controllerDirectory("devices"); d == f && l.rules != nil {
			if err := b.deviceRules(f.dir, v); err != nil {
				return err
			}
		}
		if err := subdirectories(f.dir, b.addBelow); err != nil {
			return err
		}
	}
	return nil
}

// file records a file's content, if the file exists.
func (b *Before) file(dir, name string) {
	file := dir + "/" + name
	if slices.ContainsFunc(b.Files, func(k ControlFile) bool { return k.Path == file }) {
		return
	}
	if text, err := readFile(file); err == nil {
		b.Files = append(b.Files, ControlFile{file, text})
	}
}

func (b *Before) addBelow(dir string) error {
	b.Below = append(b.Below, dir)
	return subdirectories(dir, b.addBelow)
}

func (b *Before) deviceRules(dir string, v version) error {
	if v == v1 {
		b.file(dir, "devices.list")
		return nil
	}
	now, err := attachedDevices(dir)
	if errors.Is(err, unix.EPERM) && inUserNamespace() {
		return nil // then none can be attached either
	}
	if err != nil {
		return err
	}
	unix.Close(now.fd)
	b.programs, b.Rules, b.Programs = now.programs, true, len(now.programs)
	return nil
}

// owner records the owner of a file.
func (b *Before) owner(file string) {
	var st unix.Stat_t
	if unix.Stat(file, &st) == nil {
		b.Owners = append(b.Owners, FileOwner{file, int(st.Uid)})
	}
}

// giveBack restores an existing directory, and removes the container's mark from it. What cannot be
// restored is an error that names the file; the rest is restored all the same.
func (m *Manager) giveBack(f *directory) error {
	if unix.Access(f.dir, unix.F_OK) == unix.ENOENT {
		return nil
	}
	if getTag(f.dir, forsaken) != "" {
		if err := unix.Rmdir(f.dir); err == nil || err == unix.ENOENT {
			return nil
		}
	}
	var errs []error
	if f == &m.unified {
		// Create would have refused a frozen cgroup: the container was paused when it was deleted,
		// and cgroup2 kills without a thaw.
		if frozen, err := readFile(f.dir + "/cgroup.freeze"); err == nil && strings.HasPrefix(frozen, "1") {
			if err := writeFile(f.dir+"/cgroup.freeze", "0"); err != nil {
				errs = append(errs, &os.PathError{Op: "thaw cgroup", Path: f.dir, Err: err})
			}
		}
	}
	if m.before != nil {
		errs = append(errs, m.before.restore(f.dir)...)
		if d, v := m.controllerDirectory("devices"); d == f && v == v2 {
			errs = append(errs, m.before.restorePrograms(f.dir))
		}
	}
	if m.owner != nil && m.owner.Owns(getTag(f.dir, markName)) {
		removeTag(f.dir, markName)
	}
	return errors.Join(errs...)
}

// restore restores the files of a directory, the last one set first. Files may depend on each other
// in either order, so those that fail are tried once more after the others.
func (b *Before) restore(dir string) (errs []error) {
	var again []ControlFile
	for _, k := range slices.Backward(b.Files) {
		if path.Dir(k.Path) == dir && k.restore() != nil {
			again = append(again, k)
		}
	}
	for _, k := range again {
		if err := k.restore(); err != nil {
			errs = append(errs, fmt.Errorf("restore %s: %w", k.Path, err))
		}
	}
	for _, o := range b.Owners {
		if o.Path == dir || path.Dir(o.Path) == dir {
			if err := unix.Lchown(o.Path, o.UID, -1); err != nil && err != unix.ENOENT {
				errs = append(errs, &os.PathError{Op: "restore the owner of", Path: o.Path, Err: err})
			}
		}
	}
	return errs
}

func (k *ControlFile) restore() error {
	now, err := readFile(k.Path)
	if err != nil || now == k.Text {
		return err
	}
	for _, w := range k.writes(now) {
		if err := writeFile(w.Path, w.Text); err != nil {
			return fmt.Errorf("write %q: %w", w.Text, err)
		}
	}
	return nil
}

// writes returns the writes that change a file's content from now back to the old one. Most files
// have one value; some have a line for each device, which begins with its name.
func (k *ControlFile) writes(now string) []ControlFile {
	dir, name := path.Split(k.Path)
	switch {
	case name == "devices.list":
		return listWrites(dir, now, k.Text)
	case name == "memory.oom_control":
		// "oom_kill_disable 0\nunder_oom 0\n..."
		for _, field := range strings.Fields(k.Text)[:min(2, len(strings.Fields(k.Text)))] {
			if field == "0" || field == "1" {
				return []ControlFile{{k.Path, field}}
			}
		}
		return nil
	case name == subtreeControl:
		old := strings.Fields(k.Text)
		given := slices.DeleteFunc(strings.Fields(now), func(c string) bool { return slices.Contains(old, c) })
		for i := range given {
			given[i] = "-" + given[i]
		}
		return []ControlFile{{k.Path, strings.Join(given, " ")}}
	case !perDevice(name):
		// An empty write does nothing; a newline empties a cpuset.
		text := strings.TrimSpace(k.Text)
		if text == "" {
			text = "\n"
		}
		return []ControlFile{{k.Path, text}}
	}
	var list []ControlFile
	old := make(map[string]bool)
	for line := range strings.Lines(k.Text) {
		key, _, _ := strings.Cut(line, " ")
		old[key] = true
	}
	for line := range strings.Lines(now) {
		if key, _, _ := strings.Cut(strings.TrimSpace(line), " "); !old[key] && key != "" {
			list = append(list, ControlFile{k.Path, key + unlimited(name)})
		}
	}
	for line := range strings.Lines(k.Text) {
		list = append(list, ControlFile{k.Path, strings.TrimSpace(line)})
	}
	return list
}

// perDevice reports whether a file has a line for each device.
func perDevice(name string) bool {
	return strings.HasPrefix(name, "io.") || name == "rdma.max" || name == "misc.max" || name == "net_prio.ifpriomap" ||
		strings.HasPrefix(name, "blkio.throttle.") || strings.HasSuffix(name, "weight_device")
}

// unlimited returns the value that removes a device from such a file.
func unlimited(name string) string {
	switch {
	case name == "io.max":
		return " rbps=max wbps=max riops=max wiops=max"
	case strings.HasSuffix(name, "weight") || strings.HasPrefix(name, "blkio.bfq."):
		return " default"
	}
	return " 0"
}

// listWrites returns the writes that change a v1 devices.list from one content to another. The list
// does not show exceptions from "everything is allowed", so these are lost.
func listWrites(dir, now, text string) []ControlFile {
	from, err1 := parseDeviceList(now)
	to, err2 := parseDeviceList(text)
	if err1 != nil || err2 != nil {
		return nil
	}
	settings := to.fill()
	// The kernel does not change a default while there are cgroups below.
	if !from.allow && !to.allow {
		settings = to.change(from)
	}
	var writes []ControlFile
	for _, s := range settings {
		writes = append(writes, ControlFile{dir + s.file, s.value})
	}
	return writes
}

// restorePrograms attaches the previous device programs of cgroup2 again, and detaches the
// container's. The kernel frees a program that is attached nowhere and that no process has open. So
// the previous ones are lost when the creator exits, and delete leaves the container's in place.
func (b *Before) restorePrograms(dir string) error {
	if !b.Rules || len(b.programs) != b.Programs {
		return nil
	}
	now, err := attachedDevices(dir)
	if err != nil {
		return err
	}
	defer now.close()
	in := func(list []deviceProgramFile) func(deviceProgramFile) bool {
		return func(p deviceProgramFile) bool {
			return slices.ContainsFunc(list, func(other deviceProgramFile) bool { return p.id == other.id })
		}
	}
	for _, p := range slices.DeleteFunc(slices.Clone(b.programs), in(now.programs)) {
		if err := now.attach(p.fd, unix.BPF_F_ALLOW_MULTI, 0); err != nil {
			return fmt.Errorf("attach BPF device program to %s again: %w", dir, err)
		}
	}
	return now.detach(slices.DeleteFunc(slices.Clone(now.programs), in(b.programs)))
}

// Close closes the descriptors of device programs. A nil receiver is fine.
func (b *Before) Close() {
	if b != nil {
		closePrograms(b.programs)
		b.programs = nil
	}
}
