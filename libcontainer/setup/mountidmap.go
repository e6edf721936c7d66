package setup

import (
	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
)

// mapIDs emits the ID mapping of a detached mount, if it is configured. The runtime does the
// mapping, which needs privileges over the filesystem and over a user namespace with the map.
func (l *lowering) mapIDs(mount nsenter.Reg, m *specconv.Mount) {
	if m.IDMap == nil {
		return
	}
	l.sendFile(MessageIDMap, mount, nsenter.Int(l.step))
	l.await()
}

// idMapped is an action whose mount the runtime maps.
type idMapped interface{ mapped() *specconv.Mount }

func (m bindMount) mapped() *specconv.Mount { return &m.Mount }
func (m mountNew) mapped() *specconv.Mount  { return &m.Mount }

// MountIDMap returns the mount of a [MessageIDMap], nil if there is none. step is the message's
// value.
func (p *Plan) MountIDMap(step uint32) *specconv.Mount {
	if int(step) >= len(p.Steps) {
		return nil
	}
	if a, ok := p.Steps[step].Action.(idMapped); ok {
		return a.mapped()
	}
	return nil
}

// withMap returns the mount with the maps of the container's user namespace where it has none of
// its own.
func (b *builder) withMap(m *specconv.Mount) *specconv.Mount {
	if m.IDMap == nil || len(m.IDMap.UIDs) > 0 {
		return m
	}
	users := UserNamespace(b.bundle, b.facts)
	if users == nil {
		return m // a plan for an unknown host
	}
	with := *m
	with.IDMap = &specconv.MountIDMap{UIDs: users.UIDs, GIDs: users.GIDs, Recursive: m.IDMap.Recursive}
	return &with
}
