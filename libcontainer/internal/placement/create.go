package placement

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/libcontainer/cgroups"
	"github.com/orlop/orlop/libcontainer/internal/forker"
	"github.com/orlop/orlop/libcontainer/internal/launch"
	"github.com/orlop/orlop/libcontainer/internal/state"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/specconv"
)

// Config describes the placement of a new container.
type Config struct {
	Manager  string // "cgroupfs" (the same as ""), "systemd" or "disabled"
	ID       string
	Bundle   *specconv.Bundle
	Rootless bool // the container does without device rules and, if necessary, a cgroup, which need the host's root
	Dry      bool // contact no other program
	Warn     func(string)
}

// New plans the placement of a new container. It creates nothing.
func New(c Config) (Creation, error) {
	layout, err := cgroups.ReadLayout()
	if err != nil {
		return nil, err
	}
	b := base{Config: c, layout: layout, cgroup: &cgroups.Manager{}}
	if r := b.resources(); c.Rootless && c.Manager != "disabled" && r != nil && len(r.Devices) > 0 {
		b.notes = append(b.notes, "linux.resources.devices: not applied: that takes the host's root")
	}
	switch c.Manager {
	case "", "cgroupfs":
		return newCgroup(b)
	case "systemd":
		return newUnit(b)
	case "disabled":
		return newNone(b)
	}
	return nil, fmt.Errorf("cgroup manager %q: must be cgroupfs, systemd or disabled", c.Manager)
}

// base is common to all placements of new containers. Its methods are those for a container without
// a cgroup.
type base struct {
	Config
	layout cgroups.Layout
	cgroup *cgroups.Manager
	notes  []string
}

func (b *base) linux() *specs.Linux {
	if b.Bundle.Spec.Linux == nil {
		return &specs.Linux{}
	}
	return b.Bundle.Spec.Linux
}

func (b *base) resources() *specs.LinuxResources { return b.linux().Resources }

// checkBelow returns a fault if an annotation asks for a cgroup below the usual one that cannot
// exist.
func (b *base) checkBelow(u *unitName) error {
	for _, name := range [...]string{specconv.SystemdSubgroup, specconv.DelegateCgroup} {
		problem := ""
		switch {
		case b.Bundle.Spec.Annotations[name] == "":
			continue
		case name == specconv.SystemdSubgroup && u == nil:
			problem = "needs a unit of systemd's (--systemd-cgroup)"
		case b.cgroup.None():
			problem = "the container has no cgroup"
		case b.layout.Mode != cgroups.Unified:
			problem = "needs a host whose controllers are all on cgroup2"
		case u != nil && u.IsSlice():
			problem = "needs a scope: linux.cgroupsPath names a slice, into which systemd puts no process"
		}
		if problem != "" {
			return specconv.Invalid(specconv.AnnotationPath(name), problem)
		}
	}
	return nil
}

// Facts implements Creation.
func (b *base) Facts() setup.CgroupFacts {
	paths := b.layout.OwnPaths()
	if !b.cgroup.None() {
		paths = b.cgroup.HomePaths()
	}
	f := setup.CgroupFacts{Unified: b.layout.Mode == cgroups.Unified, UnifiedPath: paths[""]}
	for i := range b.layout.Hierarchies {
		h := &b.layout.Hierarchies[i]
		keys := h.Keys()
		f.Hierarchies = append(f.Hierarchies, setup.CgroupHierarchy{Dir: filepath.Base(h.Mountpoint), Controllers: keys, Path: paths[keys[0]]})
	}
	return f
}

// Dirs implements Creation.
func (b *base) Dirs() (dirs []string) {
	for _, dir := range b.cgroup.Paths() {
		dirs = append(dirs, dir)
	}
	return dirs
}

// Notes implements Creation.
func (b *base) Notes() []string { return b.notes }

// Record implements Creation.
func (b *base) Record(rec *state.Record, dir *state.Dir) {
	rec.CgroupPaths = b.cgroup.Paths()
	b.cgroup.SetOwner(ownerOf(rec, dir))
}

// RecordFound implements Creation.
func (b *base) RecordFound(rec *state.Record) (err error) {
	if rec.FoundCgroups != nil {
		rec.CgroupBefore, err = json.Marshal(b.cgroup.Before())
	}
	return err
}

// Join implements Creation.
func (b *base) Join(*setup.Options) []launch.Deferred { return nil }

// Begin implements Creation.
func (b *base) Begin(*forker.Forker) {}

// start calls before on the forker, and then starts the process there.
func start(f *forker.Forker, p *launch.Process, before func(), spawn func(fork func(cgroup int) error) error) error {
	return <-f.Do(func() error {
		if err := f.ResetAffinity(); err != nil {
			return err
		}
		before()
		if err := p.OpenDeferred(); err != nil {
			return err
		}
		return spawn(p.Start)
	})
}

// EnterCgroup implements Creation.
func (b *base) EnterCgroup(int) error {
	return errors.New("the process waits for a cgroup that it was started in")
}

// Tighten implements Creation.
func (b *base) Tighten() error { return b.cgroup.Tighten() }

// Complete implements Creation.
func (b *base) Complete(int) error { return nil }

// BeforeProgram implements Creation.
func (b *base) BeforeProgram(*state.Record, func() error) []func() error { return nil }

// Charge implements Creation.
func (b *base) Charge(_ int, fork func(cgroup int) (int, error)) (*os.File, error) {
	return b.cgroup.SpawnCharged(func(cgroup int) error {
		_, err := fork(cgroup)
		return err
	})
}

// OOMKills implements Creation.
func (b *base) OOMKills() (uint64, error) { return b.cgroup.OOMKills() }

// Undo implements Creation.
func (b *base) Undo() error { return nil }

// Close implements Creation.
func (b *base) Close() { b.cgroup.Before().Close() }

// subgroup returns linux.cgroupsPath with the subgroup that an annotation asks for.
func (b *base) subgroup(cgroupsPath string) string {
	if sub := b.Bundle.Spec.Annotations[specconv.SystemdSubgroup]; sub != "" {
		return path.Join(cgroupsPath, sub)
	}
	return cgroupsPath
}
