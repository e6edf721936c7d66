package setup

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/orlop/orlop/nsenter"
)

// String formats the plan for people, one step per line with its field of the configuration:
//
//	7  mount tmpfs on /dev, nosuid,mode=755    mounts[1]
func (p *Plan) String() string {
	var text strings.Builder
	if p.Cloneflags != 0 {
		fmt.Fprintf(&text, "    new namespaces: %s\n", strings.Join(namespaceNames(p.Cloneflags), ", "))
	}
	for i, s := range p.Steps {
		fmt.Fprintf(&text, "%3d  %s", i, s.String())
		if s.Field != "" {
			fmt.Fprintf(&text, "  [%s]", s.Field)
		}
		text.WriteByte('\n')
	}
	for _, w := range p.Warnings {
		fmt.Fprintf(&text, "warning: %s\n", w)
	}
	for _, note := range p.Notes {
		fmt.Fprintf(&text, "note: %s\n", note)
	}
	return text.String()
}

// MarshalJSON formats the plan for programs.
func (p *Plan) MarshalJSON() ([]byte, error) {
	type step struct {
		Step  int      `json:"step"`
		Phase string   `json:"phase"`
		Verb  string   `json:"verb"`
		Title string   `json:"title"`
		Field string   `json:"field,omitempty"`
		Needs []string `json:"needs,omitempty"`
	}
	plan := struct {
		Namespaces []string `json:"newNamespaces"`
		Steps      []step   `json:"steps"`
		Warnings   []string `json:"warnings,omitempty"`
		Notes      []string `json:"notes,omitempty"`
	}{namespaceNames(p.Cloneflags), make([]step, len(p.Steps)), p.Warnings, p.Notes}
	if plan.Namespaces == nil {
		plan.Namespaces = []string{}
	}
	for i, s := range p.Steps {
		plan.Steps[i] = step{i, s.phase().String(), s.Verb(), s.String(), s.Field, nil}
		for _, d := range s.Needs() {
			plan.Steps[i].Needs = append(plan.Steps[i].Needs, string(d.Name))
		}
	}
	return json.Marshal(plan)
}

// Needs returns all descriptors that the plan's steps refer to, each once.
func (p *Plan) Needs() []Descriptor {
	var list []Descriptor
	for _, s := range p.Steps {
		for _, d := range s.Needs() {
			if !slices.ContainsFunc(list, func(known Descriptor) bool { return known.Name == d.Name }) {
				list = append(list, d)
			}
		}
	}
	return list
}

// Lower turns the plan into system calls. It returns an error for a plan that Verify rejects.
func (p *Plan) Lower() (*nsenter.Program, error) {
	if p.verified == nil {
		if err := p.Verify(); err != nil {
			return nil, err
		}
	}
	l := p.verified
	p.options = l.options
	p.verified = nil // running a program changes it
	p.wanted = l.wanted
	return l.prog, nil
}

// lower turns the plan into system calls, verified or not.
func (p *Plan) lower() *lowering {
	l := newLowering(p)
	for i, s := range p.Steps {
		l.begin(i)
		s.lower(l)
		l.end()
	}
	return l
}
