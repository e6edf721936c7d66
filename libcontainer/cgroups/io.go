package cgroups

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/specconv/jsonpath"
)

const ioField = "linux.resources.blockIO."

// io: kernel documents cgroup-v1/blkio-controller.rst, block/bfq-iosched.rst, and cgroup-v2.rst, "IO
// Interface Files".
func (s *settingList) io(r *specs.LinuxBlockIO, v version) {
	s.weights(v, "", "", r.Weight, r.LeafWeight)
	for i := range r.WeightDevice {
		d := &r.WeightDevice[i]
		s.weights(v, deviceNumber(d.Major, d.Minor)+" ", jsonpath.Index("weightDevice", i)+".", d.Weight, d.LeafWeight)
	}
	for _, t := range [...]struct {
		field   string
		file    string // v1
		key     string // in io.max
		devices []specs.LinuxThrottleDevice
	}{
		{"throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps", r.ThrottleReadBpsDevice},
		{"throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps", r.ThrottleWriteBpsDevice},
		{"throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops", r.ThrottleReadIOPSDevice},
		{"throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops", r.ThrottleWriteIOPSDevice},
	} {
		for i := range t.devices {
			d := &t.devices[i]
			file, key, rate := t.file, "", utoa(d.Rate)
			if v == v2 {
				file, key = "io.max", t.key+"="
				if d.Rate == 0 { // in v1, 0 means no limit; io.max rejects it
					rate = "max"
				}
			}
			s.add(file, deviceNumber(d.Major, d.Minor)+" "+key+rate, ioField+jsonpath.Index(t.field, i))
		}
	}
}

// weights adds the weights of the cgroup, or those for a device. BFQ's have the configuration's
// range; io.cost has another one. The kernel has no leaf weights any more: setting them is
// an error.
func (s *settingList) weights(v version, device, field string, weight, leaf *uint16) {
	suffix := ""
	if device != "" {
		suffix = "_device"
	}
	if isSet(weight) {
		value := device + utoa(uint64(*weight))
		if v == v1 {
			s.add("blkio.bfq.weight"+suffix, value, ioField+field+"weight")
		} else {
			x := s.add("io.bfq.weight", value, ioField+field+"weight")
			x.otherFile, x.otherValue = "io.weight", device+utoa(ioWeight(*weight))
		}
	}
	if isSet(leaf) && v == v1 {
		s.add("blkio.leaf_weight"+suffix, device+utoa(uint64(*leaf)), ioField+field+"leafWeight")
	} else {
		s.onlyV1(isSet(leaf), "io", ioField+field+"leafWeight")
	}
}

// ioWeight converts a weight of 10 to 1000 to io.weight's range, 1 to 10000, in proportion, as runc
// and crun do.
func ioWeight(weight uint16) uint64 {
	if weight <= 10 {
		return 1
	}
	return min(1+(uint64(weight)-10)*9999/990, 10000)
}

func deviceNumber(major, minor int64) string { return itoa(major) + ":" + itoa(minor) }
