package main

import (
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// argLists are command lines by name.
func argLists() map[string][]string {
	return map[string][]string{
		"words":       {"probe", "once", "two words", "", "-e", "ä\n"},
		"path":        {"inpath", "once"},
		"absolute":    {"/bin/probe", "once"},
		"missing":     {"nosuch"},
		"missing-abs": {"/nosuch/program"},
		"plain":       {"/etc/conf"},
		"directory":   {"/etc"},
		"format":      {"/badformat"},
		"interpreter": {"/badinterpreter"},
		"relative":    {"./bin/probe", "once"},
		"none":        {},
		"empty":       {""},
		"ends":        {"true"},
		"fails":       {"false"},
		"through":     {"/etc/conf/sh"},
		"loop":        {"/loop"},
	}
}

// names lists the keys of a table in a fixed order.
func names[T any](table map[string]T) []string {
	var list []string
	for name := range table {
		list = append(list, name)
	}
	sortStrings(list)
	return list
}

// processKinds are those of config.json's process.
//
// long: a table
func processKinds() map[string]kind {
	return map[string]kind{
		"args": {6, 1, oneOf(names(argLists())...), always(func(b *bundle, value string) {
			b.spec.Process.Args = append([]string{}, argLists()[value]...)
			b.image = append(b.image, entry{"bin/inpath", "probe", ""}, entry{"badformat", "script", "no program\n"},
				entry{"badinterpreter", "script", "#!/nosuch/sh\n"}, entry{"loop", "link", "loop"})
		})},
		"cwd": {5, 1, oneOf("/tmp", "/home/sailor", "/nosuch/deep", "/private", "/link", "tmp", "/etc/conf", "/dangling", "/proc", ""), always(func(b *bundle, value string) {
			b.spec.Process.Cwd = value
			b.image = append(b.image, entry{"private", "private", ""}, entry{"link", "link", "/home/sailor"}, entry{"dangling", "link", "/nosuch"})
		})},
		"env": {8, 3, oneOf("A=1", "A=2", "PATH=/bin", "PATH=/nosuch", "HOME=", "HOME=/x", "=x", "NOEQUALS", "EMPTY=", "TWO=words here",
			"LISTEN_FDS=1", "PATH=relative:/bin", "HOSTNAME=x", "none"), always(func(b *bundle, value string) {
			if value == "none" {
				b.spec.Process.Env = nil
				return
			}
			b.spec.Process.Env = append(b.spec.Process.Env, value)
		})},
		"user": {8, 1, oneOf("1000:1001", "1000:0", "0:1001", "4242:4242", "65534:65534"), func(b *bundle, value string) error {
			parts, err := fields(value, 2)
			if err != nil {
				return err
			}
			uid, err := number[uint32](parts[0])
			if err != nil {
				return err
			}
			gid, err := number[uint32](parts[1])
			if err != nil {
				return err
			}
			b.spec.Process.User.UID, b.spec.Process.User.GID = *uid, *gid
			return nil
		}},
		"gids": {3, 1, oneOf("5", "5,2000", "0", "1,1,2", "4294967295"), func(b *bundle, value string) error {
			for _, text := range list(value) {
				gid, err := number[uint32](text)
				if err != nil {
					return err
				}
				b.spec.Process.User.AdditionalGids = append(b.spec.Process.User.AdditionalGids, *gid)
			}
			return nil
		}},
		"umask": {3, 1, oneOf("0", "23", "63", "511"), func(b *bundle, value string) (err error) {
			b.spec.Process.User.Umask, err = number[uint32](value)
			return err
		}},
		"username": {1, 1, oneOf("sailor", "nobody"), always(func(b *bundle, value string) { b.spec.Process.User.Username = value })},
		// Not nil: under runc the probe then has all rights, and what it tries does harm.
		"caps": {10, 1, oneOf(slices.DeleteFunc(names(capabilitySets()), func(name string) bool { return name == "nil" })...), always(func(b *bundle, value string) { b.spec.Process.Capabilities = capabilitySets()[value] })},
		"rlimit": {8, 3, oneOf("NOFILE:512:1024", "NOFILE:64:64", "CORE:0:0", "NPROC:64:64", "FSIZE:1000000:1000000", "STACK:1000000:8000000",
			"FOO:1:1", "NOFILE:2000:1000", "MEMLOCK:0:18446744073709551615", "NOFILE:1:1073741817", "AS:64000000000:64000000000", "RTPRIO:5:5", "nofile:5:5"),
			func(b *bundle, value string) error {
				parts, err := fields(value, 3)
				if err != nil {
					return err
				}
				soft, hard := parseUnsigned(parts[1]), parseUnsigned(parts[2])
				b.spec.Process.Rlimits = append(b.spec.Process.Rlimits, specs.POSIXRlimit{Type: "RLIMIT_" + parts[0], Soft: soft, Hard: hard})
				return nil
			}},
		"nnp": {4, 1, oneOf("yes"), always(func(b *bundle, _ string) { b.spec.Process.NoNewPrivileges = true })},
		"oom": {3, 1, oneOf("-500", "0", "300", "1000", "1001"), func(b *bundle, value string) (err error) {
			b.spec.Process.OOMScoreAdj, err = number[int](value)
			return err
		}},
		"scheduler": {3, 1, oneOf("SCHED_BATCH:5:0", "SCHED_OTHER:0:0", "SCHED_OTHER:-5:0", "SCHED_FIFO:0:10", "SCHED_RR:0:100", "SCHED_IDLE:0:0", "SCHED_NOSUCH:0:0",
			"SCHED_OTHER:0:5"), func(b *bundle, value string) error {
			parts, err := fields(value, 3)
			if err != nil {
				return err
			}
			nice, err := number[int](parts[1])
			if err != nil {
				return err
			}
			priority, err := number[int](parts[2])
			if err != nil {
				return err
			}
			b.spec.Process.Scheduler = &specs.Scheduler{Policy: specs.LinuxSchedulerPolicy(parts[0]), Nice: int32(*nice), Priority: int32(*priority)}
			return nil
		}},
		"io": {2, 1, oneOf("IOPRIO_CLASS_BE:3", "IOPRIO_CLASS_IDLE:0", "IOPRIO_CLASS_RT:1", "IOPRIO_CLASS_NOSUCH:1", "IOPRIO_CLASS_BE:9"), func(b *bundle, value string) error {
			parts, err := fields(value, 2)
			if err != nil {
				return err
			}
			priority, err := number[int](parts[1])
			if err != nil {
				return err
			}
			b.spec.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPriorityClass(parts[0]), Priority: *priority}
			return nil
		}},
		"terminal": {5, 1, oneOf("plain", "30x100"), always(func(b *bundle, value string) {
			b.spec.Process.Terminal = true
			if value != "plain" {
				b.spec.Process.ConsoleSize = &specs.Box{Height: 30, Width: 100}
			}
		})},
		"personality": {1, 1, oneOf("LINUX", "LINUX32", "NOSUCH"), always(func(b *bundle, value string) {
			b.spec.Linux.Personality = &specs.LinuxPersonality{Domain: specs.LinuxPersonalityDomain(value)}
		})},
		"affinity": {1, 1, oneOf("0:", "0:1", "1:0-1", "7:", "x:"), func(b *bundle, value string) error {
			parts, err := fields(value, 2)
			if err != nil {
				return err
			}
			b.spec.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: parts[0], Final: parts[1]}
			return nil
		}},
		"label": {1, 1, oneOf("apparmor:unconfined", "apparmor:nosuch", "selinux:system_u:system_r:svirt_t:s0"), always(func(b *bundle, value string) {
			if what, label, _ := strings.Cut(value, ":"); what == "apparmor" {
				b.spec.Process.ApparmorProfile = label
			} else {
				b.spec.Process.SelinuxLabel = label
			}
		})},
		"process": {1, 1, oneOf("none"), always(func(b *bundle, _ string) {
			// What later features say of the process is about none.
			b.spec.Process = &specs.Process{Cwd: "/", Env: []string{"PATH=/bin"}}
		})},
		"version": {1, 1, oneOf("1.0.0", "1.3.0", "1.0.2-dev", "0.9.0", "2.0.0", "none", "x"), always(func(b *bundle, value string) {
			if value == "none" {
				value = ""
			}
			b.spec.Version = value
		})},
		"preserve": {2, 1, oneOf("1", "2"), always(func(b *bundle, value string) {
			// The caller opens what is preserved.
			b.caller = append(b.caller, "exec 3</etc/passwd 4</etc/group")
			b.create = append(b.create, "--preserve-fds", value)
		})},
		"flag": {2, 2, oneOf("--no-pivot", "--no-new-keyring"), always(func(b *bundle, value string) { b.create = append(b.create, value) })},
		"stdin": {4, 1, oneOf("null", "file", "pipe", "closed"), always(func(b *bundle, value string) {
			b.stdin = value
		})},
		"stdout": {3, 1, oneOf("pipe", "null"), always(func(b *bundle, value string) { b.stdout = value })},
	}
}

func parseUnsigned(text string) (n uint64) {
	for _, digit := range text {
		n = n*10 + uint64(digit-'0')
	}
	return n
}

// capabilitySets are choices of process.capabilities by name.
func capabilitySets() map[string]*specs.LinuxCapabilities {
	net, kill := []string{"CAP_NET_RAW", "CAP_KILL"}, []string{"CAP_KILL"}
	return map[string]*specs.LinuxCapabilities{
		"nil":                     nil,
		"none":                    {},
		"one":                     {Bounding: kill, Effective: kill, Permitted: kill},
		"all-five":                {Bounding: net, Effective: net, Permitted: net, Inheritable: net, Ambient: net},
		"inheritable":             {Bounding: net, Effective: net, Permitted: net, Inheritable: net},
		"ambient-not-inheritable": {Bounding: net, Effective: net, Permitted: net, Ambient: net},
		"ambient-not-permitted":   {Bounding: net, Inheritable: net, Ambient: net},
		"effective-not-permitted": {Bounding: net, Effective: net, Permitted: kill},
		"permitted-not-bounding":  {Bounding: kill, Permitted: net},
		"bounding-only":           {Bounding: net},
		"unknown":                 {Bounding: []string{"CAP_NOSUCH", "CAP_KILL"}, Permitted: kill, Effective: kill},
		"admin": {Bounding: []string{"CAP_SYS_ADMIN", "CAP_MKNOD"}, Effective: []string{"CAP_SYS_ADMIN", "CAP_MKNOD"},
			Permitted: []string{"CAP_SYS_ADMIN", "CAP_MKNOD"}},
		"setpcap": {Bounding: []string{"CAP_SETPCAP", "CAP_SETUID", "CAP_DAC_OVERRIDE"}, Effective: []string{"CAP_DAC_OVERRIDE"}, Permitted: []string{"CAP_SETUID", "CAP_DAC_OVERRIDE"},
			Inheritable: []string{"CAP_SETUID"}},
		"lower-case": {Bounding: []string{"cap_kill"}, Permitted: []string{"cap_kill"}},
	}
}

// hookKinds are those of config.json's hooks.
func hookKinds() map[string]kind {
	types := []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"}
	return map[string]kind{"hook": {12, 3, joined(oneOf(types...), oneOf("ok", "env", "noenv", "fail", "missing", "slow", "leave", "relative", "noargs", "closed")),
		func(b *bundle, value string) error {
			parts, err := fields(value, 2)
			if err != nil {
				return err
			}
			b.addHook(parts[0], parts[1])
			return nil
		}}}
}

// addHook adds a hook of a type that does something of its own.
func (b *bundle) addHook(where, what string) {
	if b.spec.Hooks == nil {
		b.spec.Hooks = &specs.Hooks{}
	}
	path, log := b.dir+"/hook", b.hooksLog()
	if where == "startContainer" {
		path, log = "/hook", "/tmp/hooks.log"
	}
	h := specs.Hook{Path: path, Args: []string{"hook", log, where, what, "two words"}}
	switch what {
	case "env":
		h.Env = []string{"PATH=/bin:/usr/bin:" + b.dir + "/bin", "OF=hook"}
	case "noenv":
		h.Env = []string{}
	case "missing":
		h.Path = "/nosuch/hook"
	case "relative":
		h.Path = "hook"
	case "noargs":
		h.Path, h.Args = "/bin/true", nil
	case "slow":
		timeout := 1
		h.Timeout = &timeout
	}
	hooks := map[string]*[]specs.Hook{
		//lint:ignore SA1019 runtimes still run them
		"prestart": &b.spec.Hooks.Prestart, "createRuntime": &b.spec.Hooks.CreateRuntime, "createContainer": &b.spec.Hooks.CreateContainer,
		"startContainer": &b.spec.Hooks.StartContainer, "poststart": &b.spec.Hooks.Poststart, "poststop": &b.spec.Hooks.Poststop,
	}
	*hooks[where] = append(*hooks[where], h)
}
