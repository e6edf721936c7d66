package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/orlop/orlop/libcontainer/internal/host"
	"github.com/orlop/orlop/libcontainer/internal/launch"
	"github.com/orlop/orlop/libcontainer/internal/needs"
	"github.com/orlop/orlop/libcontainer/internal/seccompfilter"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/specconv/jsonpath"
)

// A Miss is something that a configuration needs and this host lacks, or a fault of the
// configuration.
type Miss struct {
	// Path is the JSON path in config.json, "" for what every container needs.
	Path string `json:"path"`
	// Kind is one of package needs, or one of the Miss constants.
	Kind string `json:"kind"`
	// Name is what is needed, of that kind.
	Name string `json:"name,omitempty"`
	// Lacks says what is missing, for people.
	Lacks string `json:"lacks"`
	// Since is the first version of Linux that has it, if that is the cause.
	Since string `json:"since,omitempty"`
}

// Kinds of misses beside those of package needs.
const (
	MissFault  = "configuration"    // the configuration is not valid
	MissYet    = "not implemented"  // it is, and refused all the same
	MissCgroup = "cgroup"           // of the container's cgroup or its limits
	MissPlan   = "plan"             // found while the container was planned
	MissStep   = "step of the plan" // found while a rehearsal of it was tried
)

// A Report tells whether this host can run a container.
type Report struct {
	// OK is true when nothing is missing.
	OK     bool   `json:"ok"`
	Misses []Miss `json:"misses"`
	// Unknown is what the caller has no right to find out.
	Unknown []Miss `json:"unknown"`
	// Warnings are those of a create, and Notes what it would write to a log.
	Warnings []string `json:"warnings"`
	Notes    []string `json:"notes"`
}

// Check reports whether the caller can run the container that a bundle describes on this host,
// without creating it. It asks the kernel, and rehearses the plan of the container's first process
// in namespaces that end with the rehearsal. faults are those that specconv.Examine has returned
// with the bundle.
func (r *Runtime) Check(id string, b *specconv.Bundle, faults specconv.Faults, o CreateOptions) (*Report, error) {
	e := &examination{
		creation: creation{id: id, bundle: b, options: o},
		report:   Report{Misses: []Miss{}, Unknown: []Miss{}, Warnings: append([]string{}, b.Warnings...), Notes: append([]string{}, b.Notes...)},
		answers:  host.Answers,
	}
	e.runtime = &Runtime{Root: r.Root, Warn: e.warn, CgroupManager: r.CgroupManager, Rootless: r.Rootless}
	e.faults(faults)
	if err := e.needs(); err != nil {
		return nil, err
	}
	if err := e.choosePlace(true); err != nil {
		e.error(MissCgroup, err)
	} else {
		defer e.place.Close()
		for _, err := range e.place.Check() {
			e.error(MissCgroup, err)
		}
		e.report.Notes = append(e.report.Notes, e.place.Notes()...)
		if len(faults) == 0 {
			e.planResources()
			e.plan()
		}
	}
	e.report.OK = len(e.report.Misses) == 0
	return &e.report, nil
}

func (e *examination) warn(text string) { e.report.Warnings = append(e.report.Warnings, text) }

// An examination is a container that is only checked.
type examination struct {
	creation
	report Report
	// answers is package host's, or a test's.
	answers func(*specconv.Bundle, []needs.Requirement) ([]error, error)
	// baseless is set when something is missing that everything else needs.
	baseless bool
}

// miss reports a miss, unless there is one of the same field or a part of it already.
func (e *examination) miss(m Miss) {
	if !slices.ContainsFunc(e.report.Misses, func(known Miss) bool { return related(known.Path, m.Path) }) {
		e.report.Misses = append(e.report.Misses, m)
	}
}

// related reports whether one JSON path is the other, or a part of it.
func related(a, b string) bool { return jsonpath.Holds(a, b) || jsonpath.Holds(b, a) }

func (e *examination) faults(list specconv.Faults) {
	yet := specconv.Unsupported(e.bundle.Spec)
	for _, f := range list {
		kind := MissFault
		if slices.ContainsFunc(yet, func(y *specconv.FieldError) bool { return y.Path == f.Path }) {
			kind = MissYet
		}
		// Each is news.
		e.report.Misses = append(e.report.Misses, Miss{Path: f.Path, Kind: kind, Lacks: f.Err.Error()})
	}
}

// needs asks the host for what the bundle needs.
func (e *examination) needs() error {
	var err error
	if e.rights, err = host.ReadRights(); err != nil {
		return err
	}
	caller := needs.Caller{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), Unprivileged: e.rights.Unprivileged(), Nested: e.rights.Nested}
	list := needs.Of(e.bundle, caller)
	list = append(list, needs.Requirement{Need: needs.Need{Kind: needs.Writable, Name: e.runtime.Root}})
	answers, err := e.answers(e.bundle, list)
	if err != nil {
		return err
	}
	for i, answer := range answers {
		e.answer(&list[i], answer)
	}
	return nil
}

func (e *examination) answer(r *needs.Requirement, err error) {
	if err == nil {
		return
	}
	m := Miss{Path: r.Path, Kind: string(r.Kind), Name: r.Name, Lacks: err.Error()}
	lack := (*host.Lack)(nil)
	switch {
	case !errors.As(err, &lack):
		e.report.Unknown = append(e.report.Unknown, m)
		return
	case r.Minor:
		e.warn(r.Path + ": " + m.Lacks)
		return
	}
	m.Lacks, m.Since = lack.Text, lack.Since
	switch r.Kind {
	case needs.Feature, needs.Namespace, needs.NamespaceFile, needs.UserIDs, needs.GroupIDs, needs.Capability:
		e.baseless = true
	}
	if m.Path == "" { // they do not follow from one another
		e.report.Misses = append(e.report.Misses, m)
		return
	}
	e.miss(m)
}

// plan plans the container, and rehearses that.
func (e *examination) plan() {
	e.filter = seccompfilter.Compile(e.bundle, e.runtime.SeccompCache)
	if _, err := e.filter.Facts(); err != nil {
		e.error(MissPlan, err)
		e.filter = nil // the rest is planned without
	}
	if _, _, err := e.creation.plan(); err != nil {
		e.error(MissPlan, err)
		return
	}
	e.report.Warnings = append(e.report.Warnings, e.steps.Warnings...)
	e.report.Notes = append(e.report.Notes, e.steps.Notes...)
	if e.baseless {
		return
	}
	e.rehearse(e.steps.Rehearsal(e.place.Dirs()...))
}

// error reports an error as a miss, and returns the path of its field.
func (e *examination) error(kind string, err error) (path string) {
	m := Miss{Kind: kind, Lacks: err.Error()}
	if f := (*specconv.FieldError)(nil); errors.As(err, &f) {
		m.Path, m.Lacks = f.Path, f.Err.Error()
	}
	if s := (*setup.StepError)(nil); errors.As(err, &s) {
		m.Name = s.Title
	}
	e.miss(m)
	return m.Path
}

// maxRehearsals limits how often a plan is tried again after one of its steps has failed.
const maxRehearsals = 100

// rehearse tries a plan, and once more without what has failed.
func (e *examination) rehearse(plan *setup.Plan) {
	for range maxRehearsals {
		err := rehearseOnce(plan)
		if err == nil {
			return
		}
		if plan = plan.WithoutField(e.error(MissStep, err)); plan == nil {
			return
		}
	}
}

func rehearseOnce(plan *setup.Plan) (err error) {
	p, err := launch.New(plan, launch.Config{})
	if err != nil {
		return err
	}
	defer func() {
		if undo := p.Abort(); undo != nil {
			err = errors.Join(err, fmt.Errorf("end the rehearsal: %w", undo))
		}
	}()
	if err := p.Prepare(); err != nil {
		return err
	}
	if err := p.Start(-1); err != nil {
		return err
	}
	return p.Converse(setup.MessageReady)
}
