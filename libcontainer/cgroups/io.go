package cgroups

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/specconv/jsonpath"
)

const ioField = "linux.resources.blockIO."

// ioV1: kernel documents cgroup-v1/blkio-controller.rst and block/bfq-iosched.rst. The kernel has
// no leaf weights any more: setting them is an error.
func (s *settingList) ioV1(r *specs.LinuxBlockIO) {
	weight := func(file, value, field string) {
		s.add(setting{controller: "blkio", file: "blkio.bfq." + file, value: value, field: ioField + field})
	}
	leaf := func(file, value, field string) {
		s.add(setting{controller: "blkio", file: file, value: value, field: ioField + field})
	}
	if isSet(r.Weight) {
		weight("weight", utoa(uint64(*r.Weight)), "weight")
	}
	if isSet(r.LeafWeight) {
		leaf("blkio.leaf_weight", utoa(uint64(*r.LeafWeight)), "leafWeight")
	}
	for i := range r.WeightDevice {
		d := &r.WeightDevice[i]
		if isSet(d.Weight) {
			weight("weight_device", deviceNumber(d.Major, d.Minor)+" "+utoa(uint64(*d.Weight)), jsonpath.Index("weightDevice", i)+".weight")
		}
		if isSet(d.LeafWeight) {
			leaf("blkio.leaf_weight_device", deviceNumber(d.Major, d.Minor)+" "+utoa(uint64(*d.LeafWeight)), jsonpath.Index("weightDevice", i)+".leafWeight")
		}
	}
	for _, t := range throttles(r) {
		for i := range t.devices {
			d := &t.devices[i]
			s.add(setting{controller: "blkio", file: t.file, value: deviceNumber(d.Major, d.Minor) + " " + utoa(d.Rate),
				field: ioField + jsonpath.Index(t.field, i)})
		}
	}
}

// ioV2: kernel document cgroup-v2.rst, "IO Interface Files". BFQ's weights have the configuration's
// range; io.cost has another one.
func (s *settingList) ioV2(r *specs.LinuxBlockIO) {
	weight := func(device string, value uint16, field string) {
		s.add(setting{controller: "io", file: "io.bfq.weight", value: device + utoa(uint64(value)), field: ioField + field,
			otherFile: "io.weight", otherValue: device + utoa(ioWeight(value))})
	}
	if isSet(r.Weight) {
		weight("", *r.Weight, "weight")
	}
	s.onlyV1(isSet(r.LeafWeight), "io", ioField+"leafWeight")
	for i := range r.WeightDevice {
		d := &r.WeightDevice[i]
		if isSet(d.Weight) {
			weight(deviceNumber(d.Major, d.Minor)+" ", *d.Weight, jsonpath.Index("weightDevice", i)+".weight")
		}
		s.onlyV1(isSet(d.LeafWeight), "io", ioField+jsonpath.Index("weightDevice", i)+".leafWeight")
	}
	for _, t := range throttles(r) {
		for i := range t.devices {
			d := &t.devices[i]
			rate := "max" // in v1, 0 means no limit; io.max rejects it
			if d.Rate != 0 {
				rate = utoa(d.Rate)
			}
			s.add(setting{controller: "io", file: "io.max", value: deviceNumber(d.Major, d.Minor) + " " + t.key + "=" + rate,
				field: ioField + jsonpath.Index(t.field, i)})
		}
	}
}

type throttle struct {
	field   string
	file    string // v1
	key     string // in io.max
	devices []specs.LinuxThrottleDevice
}

func throttles(r *specs.LinuxBlockIO) [4]throttle {
	return [...]throttle{
		{"throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps", r.ThrottleReadBpsDevice},
		{"throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps", r.ThrottleWriteBpsDevice},
		{"throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops", r.ThrottleReadIOPSDevice},
		{"throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops", r.ThrottleWriteIOPSDevice},
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
