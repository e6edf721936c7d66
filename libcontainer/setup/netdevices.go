package setup

import (
	"strings"

	"github.com/orlop/orlop/specconv"
)

// awaitNetDevices waits while the runtime moves network devices into the process's network
// namespace, in which the process must already be. The steps that are likely to fail come before,
// and the hooks find the devices in place.
type awaitNetDevices struct{ Devices []specconv.NetDevice }

func (awaitNetDevices) kind() kind        { return kind{phaseHooks, "wait", ""} }
func (awaitNetDevices) lower(l *lowering) { l.rendezvous(MessageNetDevices) }

func (n awaitNetDevices) String() string {
	list := make([]string, len(n.Devices))
	for i, d := range n.Devices {
		list[i] = d.Host
		if d.Name != d.Host {
			list[i] += " as " + d.Name
		}
	}
	return "wait while the runtime moves the network devices " + strings.Join(list, ", ")
}
