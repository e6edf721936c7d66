package cgroups

import (
	"errors"
	"maps"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/specconv/jsonpath"
)

// rdma: kernel document cgroup-v1/rdma.rst; the file is the same in cgroup2.
func (s *settingList) rdma(r map[string]specs.LinuxRdma) {
	for _, device := range slices.Sorted(maps.Keys(r)) {
		limits, field := r[device], jsonpath.Member("linux.resources.rdma", device)
		if device == "" || strings.ContainsAny(device, " \t\n") {
			s.fault("rdma", field, device, errors.New("not the name of an RDMA device"))
			continue
		}
		value := device
		if limits.HcaHandles != nil {
			value += " hca_handle=" + utoa(uint64(*limits.HcaHandles))
		}
		if limits.HcaObjects != nil {
			value += " hca_object=" + utoa(uint64(*limits.HcaObjects))
		}
		if value != device {
			s.add("rdma.max", value, field)
		}
	}
}
