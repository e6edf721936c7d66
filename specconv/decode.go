package specconv

import specs "github.com/opencontainers/runtime-spec/specs-go"

// One function per type of the specification: key by key, the fields of specs-go. A new field of the specification is one
// case here; TestDecodeEveryField fails until it is there.

func decodeSpec(d *decoder, s *specs.Spec) {
	d.object(func(key string) bool {
		switch key {
		case "ociVersion":
			decodeText(d, &s.Version)
		case "process":
			decodePtr(d, &s.Process, decodeProcess)
		case "root":
			decodePtr(d, &s.Root, decodeRoot)
		case "hostname":
			decodeText(d, &s.Hostname)
		case "domainname":
			decodeText(d, &s.Domainname)
		case "mounts":
			decodeList(d, &s.Mounts, decodeMount)
		case "hooks":
			decodePtr(d, &s.Hooks, decodeHooks)
		case "annotations":
			decodeMap(d, &s.Annotations, decodeText)
		case "linux":
			decodePtr(d, &s.Linux, decodeLinux)
		case "solaris", "windows", "vm", "zos", "freebsd":
			d.skip() // sections for other platforms mean nothing here
		default:
			return false
		}
		return true
	})
}

func decodeRoot(d *decoder, r *specs.Root) {
	d.object(func(key string) bool {
		switch key {
		case "path":
			decodeText(d, &r.Path)
		case "readonly":
			decodeBool(d, &r.Readonly)
		default:
			return false
		}
		return true
	})
}

func decodeMount(d *decoder, m *specs.Mount) {
	d.object(func(key string) bool {
		switch key {
		case "destination":
			decodeText(d, &m.Destination)
		case "type":
			decodeText(d, &m.Type)
		case "source":
			decodeText(d, &m.Source)
		case "options":
			decodeTexts(d, &m.Options)
		case "uidMappings":
			decodeList(d, &m.UIDMappings, decodeIDMapping)
		case "gidMappings":
			decodeList(d, &m.GIDMappings, decodeIDMapping)
		default:
			return false
		}
		return true
	})
}

func decodeIDMapping(d *decoder, m *specs.LinuxIDMapping) {
	d.object(func(key string) bool {
		switch key {
		case "containerID":
			decodeUint(d, &m.ContainerID)
		case "hostID":
			decodeUint(d, &m.HostID)
		case "size":
			decodeUint(d, &m.Size)
		default:
			return false
		}
		return true
	})
}

func decodeHooks(d *decoder, h *specs.Hooks) {
	d.object(func(key string) bool {
		switch key {
		case "prestart":
			//nolint:staticcheck // deprecated, yet runtimes must run them
			decodeList(d, &h.Prestart, decodeHook)
		case "createRuntime":
			decodeList(d, &h.CreateRuntime, decodeHook)
		case "createContainer":
			decodeList(d, &h.CreateContainer, decodeHook)
		case "startContainer":
			decodeList(d, &h.StartContainer, decodeHook)
		case "poststart":
			decodeList(d, &h.Poststart, decodeHook)
		case "poststop":
			decodeList(d, &h.Poststop, decodeHook)
		default:
			return false
		}
		return true
	})
}

func decodeHook(d *decoder, h *specs.Hook) {
	d.object(func(key string) bool {
		switch key {
		case "path":
			decodeText(d, &h.Path)
		case "args":
			decodeTexts(d, &h.Args)
		case "env":
			decodeTexts(d, &h.Env)
		case "timeout":
			decodePtr(d, &h.Timeout, decodeInt)
		default:
			return false
		}
		return true
	})
}
