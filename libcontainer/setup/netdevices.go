package setup

import (
	"strings"

	"github.com/orlop/orlop/specconv"
)

// takeNetDevices lets the runtime move network devices into the process's network namespace, for which it needs to be in its own. What can
// fail before does, and the hooks find the devices in place.
type takeNetDevices struct{ Devices []specconv.NetDevice }

func (takeNetDevices) Verb() string        { return "wait" }
func (takeNetDevices) Needs() []Descriptor { return nil }
func (takeNetDevices) phase() phase        { return phaseHooks }
func (takeNetDevices) lower(l *lowering)   { l.rendezvous(MessageNetDevices) }

func (n takeNetDevices) String() string {
	list := make([]string, len(n.Devices))
	for i, d := range n.Devices {
		list[i] = d.Host
		if d.Name != d.Host {
			list[i] += " as " + d.Name
		}
	}
	return "wait while the runtime moves the network devices " + strings.Join(list, ", ")
}
