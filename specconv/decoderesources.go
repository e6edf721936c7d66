package specconv

import specs "github.com/opencontainers/runtime-spec/specs-go"

func decodeResources(d *decoder, v *specs.LinuxResources) {
	d.object(func(key string) bool {
		switch key {
		case "devices":
			decodeList(d, &v.Devices, decodeDeviceCgroup)
		case "memory":
			decodePtr(d, &v.Memory, decodeMemory)
		case "cpu":
			decodePtr(d, &v.CPU, decodeCPU)
		case "pids":
			decodePtr(d, &v.Pids, decodePids)
		case "blockIO":
			decodePtr(d, &v.BlockIO, decodeBlockIO)
		case "hugepageLimits":
			decodeList(d, &v.HugepageLimits, decodeHugepageLimit)
		case "network":
			decodePtr(d, &v.Network, decodeNetwork)
		case "rdma":
			decodeMap(d, &v.Rdma, decodeRdma)
		case "unified":
			decodeMap(d, &v.Unified, decodeText)
		default:
			return false
		}
		return true
	})
}

func decodeDeviceCgroup(d *decoder, v *specs.LinuxDeviceCgroup) {
	d.object(func(key string) bool {
		switch key {
		case "allow":
			decodeBool(d, &v.Allow)
		case "type":
			decodeText(d, &v.Type)
		case "major":
			decodePtr(d, &v.Major, decodeInt)
		case "minor":
			decodePtr(d, &v.Minor, decodeInt)
		case "access":
			decodeText(d, &v.Access)
		default:
			return false
		}
		return true
	})
}

func decodeMemory(d *decoder, v *specs.LinuxMemory) {
	d.object(func(key string) bool {
		switch key {
		case "limit":
			decodePtr(d, &v.Limit, decodeInt)
		case "reservation":
			decodePtr(d, &v.Reservation, decodeInt)
		case "swap":
			decodePtr(d, &v.Swap, decodeInt)
		case "kernel":
			decodePtr(d, &v.Kernel, decodeInt)
		case "kernelTCP":
			decodePtr(d, &v.KernelTCP, decodeInt)
		case "swappiness":
			decodePtr(d, &v.Swappiness, decodeUint)
		case "disableOOMKiller":
			decodePtr(d, &v.DisableOOMKiller, decodeBool)
		case "useHierarchy":
			decodePtr(d, &v.UseHierarchy, decodeBool)
		case "checkBeforeUpdate":
			decodePtr(d, &v.CheckBeforeUpdate, decodeBool)
		default:
			return false
		}
		return true
	})
}

func decodeCPU(d *decoder, v *specs.LinuxCPU) {
	d.object(func(key string) bool {
		switch key {
		case "shares":
			decodePtr(d, &v.Shares, decodeUint)
		case "quota":
			decodePtr(d, &v.Quota, decodeInt)
		case "burst":
			decodePtr(d, &v.Burst, decodeUint)
		case "period":
			decodePtr(d, &v.Period, decodeUint)
		case "realtimeRuntime":
			decodePtr(d, &v.RealtimeRuntime, decodeInt)
		case "realtimePeriod":
			decodePtr(d, &v.RealtimePeriod, decodeUint)
		case "cpus":
			decodeText(d, &v.Cpus)
		case "mems":
			decodeText(d, &v.Mems)
		case "idle":
			decodePtr(d, &v.Idle, decodeInt)
		default:
			return false
		}
		return true
	})
}

func decodePids(d *decoder, v *specs.LinuxPids) {
	d.object(func(key string) bool {
		switch key {
		case "limit":
			decodePtr(d, &v.Limit, decodeInt)
		default:
			return false
		}
		return true
	})
}

func decodeBlockIO(d *decoder, v *specs.LinuxBlockIO) {
	d.object(func(key string) bool {
		switch key {
		case "weight":
			decodePtr(d, &v.Weight, decodeUint)
		case "leafWeight":
			decodePtr(d, &v.LeafWeight, decodeUint)
		case "weightDevice":
			decodeList(d, &v.WeightDevice, decodeWeightDevice)
		case "throttleReadBpsDevice":
			decodeList(d, &v.ThrottleReadBpsDevice, decodeThrottleDevice)
		case "throttleWriteBpsDevice":
			decodeList(d, &v.ThrottleWriteBpsDevice, decodeThrottleDevice)
		case "throttleReadIOPSDevice":
			decodeList(d, &v.ThrottleReadIOPSDevice, decodeThrottleDevice)
		case "throttleWriteIOPSDevice":
			decodeList(d, &v.ThrottleWriteIOPSDevice, decodeThrottleDevice)
		default:
			return false
		}
		return true
	})
}

func decodeWeightDevice(d *decoder, v *specs.LinuxWeightDevice) {
	d.object(func(key string) bool {
		switch key {
		case "major":
			decodeInt(d, &v.Major)
		case "minor":
			decodeInt(d, &v.Minor)
		case "weight":
			decodePtr(d, &v.Weight, decodeUint)
		case "leafWeight":
			decodePtr(d, &v.LeafWeight, decodeUint)
		default:
			return false
		}
		return true
	})
}

func decodeThrottleDevice(d *decoder, v *specs.LinuxThrottleDevice) {
	d.object(func(key string) bool {
		switch key {
		case "major":
			decodeInt(d, &v.Major)
		case "minor":
			decodeInt(d, &v.Minor)
		case "rate":
			decodeUint(d, &v.Rate)
		default:
			return false
		}
		return true
	})
}

func decodeHugepageLimit(d *decoder, v *specs.LinuxHugepageLimit) {
	d.object(func(key string) bool {
		switch key {
		case "pageSize":
			decodeText(d, &v.Pagesize)
		case "limit":
			decodeUint(d, &v.Limit)
		default:
			return false
		}
		return true
	})
}

func decodeNetwork(d *decoder, v *specs.LinuxNetwork) {
	d.object(func(key string) bool {
		switch key {
		case "classID":
			decodePtr(d, &v.ClassID, decodeUint)
		case "priorities":
			decodeList(d, &v.Priorities, decodeInterfacePriority)
		default:
			return false
		}
		return true
	})
}

func decodeInterfacePriority(d *decoder, v *specs.LinuxInterfacePriority) {
	d.object(func(key string) bool {
		switch key {
		case "name":
			decodeText(d, &v.Name)
		case "priority":
			decodeUint(d, &v.Priority)
		default:
			return false
		}
		return true
	})
}

func decodeRdma(d *decoder, v *specs.LinuxRdma) {
	d.object(func(key string) bool {
		switch key {
		case "hcaHandles":
			decodePtr(d, &v.HcaHandles, decodeUint)
		case "hcaObjects":
			decodePtr(d, &v.HcaObjects, decodeUint)
		default:
			return false
		}
		return true
	})
}
