package specconv

import specs "github.com/opencontainers/runtime-spec/specs-go"

func decodeLinux(d *decoder, v *specs.Linux) {
	d.object(func(key string) bool {
		switch key {
		case "uidMappings":
			decodeList(d, &v.UIDMappings, decodeIDMapping)
		case "gidMappings":
			decodeList(d, &v.GIDMappings, decodeIDMapping)
		case "sysctl":
			decodeMap(d, &v.Sysctl, decodeText)
		case "resources":
			decodePtr(d, &v.Resources, decodeResources)
		case "cgroupsPath":
			decodeText(d, &v.CgroupsPath)
		case "namespaces":
			decodeList(d, &v.Namespaces, decodeNamespace)
		case "devices":
			decodeList(d, &v.Devices, decodeDevice)
		case "netDevices":
			decodeMap(d, &v.NetDevices, decodeNetDevice)
		case "seccomp":
			decodePtr(d, &v.Seccomp, decodeSeccomp)
		case "rootfsPropagation":
			decodeText(d, &v.RootfsPropagation)
		case "maskedPaths":
			decodeTexts(d, &v.MaskedPaths)
		case "readonlyPaths":
			decodeTexts(d, &v.ReadonlyPaths)
		case "mountLabel":
			decodeText(d, &v.MountLabel)
		case "intelRdt":
			decodePtr(d, &v.IntelRdt, decodeIntelRdt)
		case "memoryPolicy":
			decodePtr(d, &v.MemoryPolicy, decodeMemoryPolicy)
		case "personality":
			decodePtr(d, &v.Personality, decodePersonality)
		case "timeOffsets":
			decodeMap(d, &v.TimeOffsets, decodeTimeOffset)
		default:
			return false
		}
		return true
	})
}

func decodeNamespace(d *decoder, v *specs.LinuxNamespace) {
	d.object(func(key string) bool {
		switch key {
		case "type":
			decodeText(d, &v.Type)
		case "path":
			decodeText(d, &v.Path)
		default:
			return false
		}
		return true
	})
}

func decodeDevice(d *decoder, v *specs.LinuxDevice) {
	d.object(func(key string) bool {
		switch key {
		case "path":
			decodeText(d, &v.Path)
		case "type":
			decodeText(d, &v.Type)
		case "major":
			decodeInt(d, &v.Major)
		case "minor":
			decodeInt(d, &v.Minor)
		case "fileMode":
			decodePtr(d, &v.FileMode, decodeUint)
		case "uid":
			decodePtr(d, &v.UID, decodeUint)
		case "gid":
			decodePtr(d, &v.GID, decodeUint)
		default:
			return false
		}
		return true
	})
}

func decodeNetDevice(d *decoder, v *specs.LinuxNetDevice) {
	d.object(func(key string) bool {
		switch key {
		case "name":
			decodeText(d, &v.Name)
		default:
			return false
		}
		return true
	})
}

func decodeSeccomp(d *decoder, v *specs.LinuxSeccomp) {
	d.object(func(key string) bool {
		switch key {
		case "defaultAction":
			decodeText(d, &v.DefaultAction)
		case "defaultErrnoRet":
			decodePtr(d, &v.DefaultErrnoRet, decodeUint)
		case "architectures":
			decodeTexts(d, &v.Architectures)
		case "flags":
			decodeTexts(d, &v.Flags)
		case "listenerPath":
			decodeText(d, &v.ListenerPath)
		case "listenerMetadata":
			decodeText(d, &v.ListenerMetadata)
		case "syscalls":
			decodeList(d, &v.Syscalls, decodeSyscall)
		default:
			return false
		}
		return true
	})
}

func decodeIntelRdt(d *decoder, v *specs.LinuxIntelRdt) {
	d.object(func(key string) bool {
		switch key {
		case "closID":
			decodeText(d, &v.ClosID)
		case "schemata":
			decodeTexts(d, &v.Schemata)
		case "l3CacheSchema":
			decodeText(d, &v.L3CacheSchema)
		case "memBwSchema":
			decodeText(d, &v.MemBwSchema)
		case "enableMonitoring":
			decodeBool(d, &v.EnableMonitoring)
		default:
			return false
		}
		return true
	})
}

func decodeMemoryPolicy(d *decoder, v *specs.LinuxMemoryPolicy) {
	d.object(func(key string) bool {
		switch key {
		case "mode":
			decodeText(d, &v.Mode)
		case "nodes":
			decodeText(d, &v.Nodes)
		case "flags":
			decodeTexts(d, &v.Flags)
		default:
			return false
		}
		return true
	})
}

func decodePersonality(d *decoder, v *specs.LinuxPersonality) {
	d.object(func(key string) bool {
		switch key {
		case "domain":
			decodeText(d, &v.Domain)
		case "flags":
			decodeTexts(d, &v.Flags)
		default:
			return false
		}
		return true
	})
}

func decodeTimeOffset(d *decoder, v *specs.LinuxTimeOffset) {
	d.object(func(key string) bool {
		switch key {
		case "secs":
			decodeInt(d, &v.Secs)
		case "nanosecs":
			decodeUint(d, &v.Nanosecs)
		default:
			return false
		}
		return true
	})
}

func decodeSyscall(d *decoder, v *specs.LinuxSyscall) {
	d.object(func(key string) bool {
		switch key {
		case "names":
			decodeTexts(d, &v.Names)
		case "action":
			decodeText(d, &v.Action)
		case "errnoRet":
			decodePtr(d, &v.ErrnoRet, decodeUint)
		case "args":
			decodeList(d, &v.Args, decodeSeccompArg)
		default:
			return false
		}
		return true
	})
}

func decodeSeccompArg(d *decoder, v *specs.LinuxSeccompArg) {
	d.object(func(key string) bool {
		switch key {
		case "index":
			decodeUint(d, &v.Index)
		case "value":
			decodeUint(d, &v.Value)
		case "valueTwo":
			decodeUint(d, &v.ValueTwo)
		case "op":
			decodeText(d, &v.Op)
		default:
			return false
		}
		return true
	})
}
