package specconv

import specs "github.com/opencontainers/runtime-spec/specs-go"

func decodeProcess(d *decoder, v *specs.Process) {
	d.object(func(key string) bool {
		switch key {
		case "terminal":
			decodeBool(d, &v.Terminal)
		case "consoleSize":
			decodePtr(d, &v.ConsoleSize, decodeBox)
		case "user":
			decodeUser(d, &v.User)
		case "args":
			decodeTexts(d, &v.Args)
		case "commandLine":
			decodeText(d, &v.CommandLine)
		case "env":
			decodeTexts(d, &v.Env)
		case "cwd":
			decodeText(d, &v.Cwd)
		case "capabilities":
			decodePtr(d, &v.Capabilities, decodeCapabilities)
		case "rlimits":
			decodeList(d, &v.Rlimits, decodeRlimit)
		case "noNewPrivileges":
			decodeBool(d, &v.NoNewPrivileges)
		case "apparmorProfile":
			decodeText(d, &v.ApparmorProfile)
		case "oomScoreAdj":
			decodePtr(d, &v.OOMScoreAdj, decodeInt)
		case "scheduler":
			decodePtr(d, &v.Scheduler, decodeScheduler)
		case "selinuxLabel":
			decodeText(d, &v.SelinuxLabel)
		case "ioPriority":
			decodePtr(d, &v.IOPriority, decodeIOPriority)
		case "execCPUAffinity":
			decodePtr(d, &v.ExecCPUAffinity, decodeCPUAffinity)
		default:
			return false
		}
		return true
	})
}

func decodeBox(d *decoder, v *specs.Box) {
	d.object(func(key string) bool {
		switch key {
		case "height":
			decodeUint(d, &v.Height)
		case "width":
			decodeUint(d, &v.Width)
		default:
			return false
		}
		return true
	})
}

func decodeUser(d *decoder, v *specs.User) {
	d.object(func(key string) bool {
		switch key {
		case "uid":
			decodeUint(d, &v.UID)
		case "gid":
			decodeUint(d, &v.GID)
		case "umask":
			decodePtr(d, &v.Umask, decodeUint)
		case "additionalGids":
			decodeList(d, &v.AdditionalGids, decodeUint)
		case "username":
			decodeText(d, &v.Username)
		default:
			return false
		}
		return true
	})
}

func decodeCapabilities(d *decoder, v *specs.LinuxCapabilities) {
	d.object(func(key string) bool {
		switch key {
		case "bounding":
			decodeTexts(d, &v.Bounding)
		case "effective":
			decodeTexts(d, &v.Effective)
		case "inheritable":
			decodeTexts(d, &v.Inheritable)
		case "permitted":
			decodeTexts(d, &v.Permitted)
		case "ambient":
			decodeTexts(d, &v.Ambient)
		default:
			return false
		}
		return true
	})
}

func decodeRlimit(d *decoder, v *specs.POSIXRlimit) {
	d.object(func(key string) bool {
		switch key {
		case "type":
			decodeText(d, &v.Type)
		case "hard":
			decodeUint(d, &v.Hard)
		case "soft":
			decodeUint(d, &v.Soft)
		default:
			return false
		}
		return true
	})
}

func decodeScheduler(d *decoder, v *specs.Scheduler) {
	d.object(func(key string) bool {
		switch key {
		case "policy":
			decodeText(d, &v.Policy)
		case "nice":
			decodeInt(d, &v.Nice)
		case "priority":
			decodeInt(d, &v.Priority)
		case "flags":
			decodeTexts(d, &v.Flags)
		case "runtime":
			decodeUint(d, &v.Runtime)
		case "deadline":
			decodeUint(d, &v.Deadline)
		case "period":
			decodeUint(d, &v.Period)
		default:
			return false
		}
		return true
	})
}

func decodeIOPriority(d *decoder, v *specs.LinuxIOPriority) {
	d.object(func(key string) bool {
		switch key {
		case "class":
			decodeText(d, &v.Class)
		case "priority":
			decodeInt(d, &v.Priority)
		default:
			return false
		}
		return true
	})
}

func decodeCPUAffinity(d *decoder, v *specs.CPUAffinity) {
	d.object(func(key string) bool {
		switch key {
		case "initial":
			decodeText(d, &v.Initial)
		case "final":
			decodeText(d, &v.Final)
		default:
			return false
		}
		return true
	})
}
