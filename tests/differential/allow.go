package main

import (
	"regexp"
)

// A row allows a difference that is on purpose. All of its expressions must match; an empty one
// matches anything.
type row struct {
	// place is what docs/from-runc.md says of it, word by word.
	place string
	// key is of the fact, case of the features, orlop and runc of the fact's values.
	key, features, orlop, runc string
	// crun says that orlop and crun agree.
	crun bool
}

// allowed lists what differs on purpose.
//
// long: a table
func allowed() []row {
	return []row{
		{place: "| standard streams of `run` and `exec` in the foreground", key: `^(container|\d+ exec): (links fd:[012]|streams [012])$`, features: `sequence=foreground|step=[^ ]*exec`, runc: `pipe|fifo`},
		{place: "| what covers a masked directory", key: `mountinfo `, orlop: `size=4k,nr_inodes=1`, runc: `size=4k,nr_inodes=1`},
		{place: "| what covers a masked directory", key: `: tree `, features: `masked=/(data|tmp|sys|proc)?( |$)|masked=/data/dir`, orlop: `^directory 755`, runc: `^directory 1777`},
		{place: "| the tmpfs that holds the hierarchies of cgroup v1", key: `mountinfo /(sys/fs/cgroup|sys|data|new/deep|proc)( #\d)?$`, orlop: `^/ ro,.*tmpfs`, runc: `^/ rw,.*tmpfs`},
		{place: "| a masked file |", key: `mountinfo /`, orlop: `^/null r`, runc: `/null r`},
		{place: "| the owner of `/dev/mqueue` in a user namespace", key: `nodes /dev/mqueue$`, features: `userns=`, orlop: ` 0:0$`, runc: ` (0|65534):65534$`},
		{place: "| createContainer hooks |", key: `: (status|stuck|error)$`, features: `hook=createContainer:leave`, runc: `^(137|yes|)$`},
		{place: "| createContainer hooks |", key: `^hooks \d createContainer: (cwd|env \w+)$`},
		{place: "| `process.capabilities.effective` beyond the permitted set", key: `: status`, features: `caps=effective-not-permitted`, orlop: `^[03]$`, runc: `^1$`},
		{place: "| a startContainer hook that fails", key: `: status$`, features: `hook=startContainer:`, orlop: `^1$`, runc: `^(0|255)$`},
		{place: "| the option `rro` of a mount that is not a bind mount", key: `mountinfo |: status|: tries write`, features: `rro`, crun: true},
		{place: "| `kill ID 0` |", key: `kill: (status|error)$`, features: `:kill,ID,0( |$)`, orlop: `^(1|)$`},
		{place: "| `exec --cap` of an unknown capability", key: `exec: (status|error)`, features: `CAP_NOSUCH`},
		{place: "| a program that cannot be executed", key: `: status$`, features: `seccomp=(no-exec|default-errno)|args=`, orlop: `^[1-9]\d*$`, runc: `^(0|255)$`},
		{place: "| poststart hooks |", key: `^hooks \d poststart: state$`, features: `hook=poststart`, orlop: `"running"`, runc: `"created"`},
		{place: "| poststart hooks |", key: `create: status$`, features: `hook=poststart:(fail|slow|missing)`, orlop: `^0$`, runc: `^1$`},
		{place: "| poststart hooks |", key: `^container: |^pid file$`, features: `hook=poststart:(fail|slow|missing)`},
		{place: "| poststop hooks after a `create` that failed", key: `^left process$`, features: `hook=poststop:leave`, orlop: `^\(none\)$`},
		{place: "| poststop hooks |", key: `^hooks \d poststop: cwd`, orlop: `^.DIR/bundle$`},
		{place: "| `exec` in a container that is stopped", key: `exec: error`, orlop: `not running`, runc: `^$`},
		{place: "| `process.cwd` through a dangling link", key: `: status`, features: `cwd=/dangling`, orlop: `^[03]$`, runc: `^1$`},
		{place: "| standard streams of a detached process", key: `streams [012]$|links fd:[012]$|tries write to stdout$`, features: `userns=`},
		{place: "| `hostname`, `domainname`, `linux.netDevices`", key: `: status`, features: `ns=uts:hostpath`, orlop: `^1$`, runc: `^[03]$`},
		{place: "| a standard stream that is the host's `/dev/null`", key: `: status`, features: `device=\w:\d+:\d+:/dev/null:|mount=[^ ]*:/dev/null:`, orlop: `^[03]$`, runc: `^1$`},
		{place: "| `..` in `linux.cgroupsPath`", key: `: status`, features: `cgroup=dots`, orlop: `^1$`, runc: `^[03]$`},
		{place: "| `linux.resources.blockIO.weight` out of range", key: `: status`, features: `blkio=5`, orlop: `^1$`, runc: `^[03]$`},
		{place: "| a limit of `linux.resources` below -1", key: `: status`, features: `pids=-5`, orlop: `^1$`},
		{place: "| `linux.uidMappings` without a user namespace", key: `: status`, features: `maps=alone`, orlop: `^1$`},
		{place: "| a device rule without `access`", key: `: status`, features: `rule=\w+:\w:[0-9*]+:[0-9*]+:( |$)`, orlop: `^[03]$`},
		{place: "| `--preserve-fds` of descriptors that are not open", key: `exec: (status|error|output|links fd:\d+)`, features: `exec,[^ ]*--preserve-fds`},
		{place: "| a directory as the program |", key: `: error$`, orlop: `permission denied`, runc: `is a directory`},
		{place: "| a bind mount of a directory beside the root filesystem", key: `mountinfo `, features: `mount=(bind|none)?:(relative|inside)`, orlop: ` master `},
		{place: "| a fifo in `linux.devices`", key: `: status$`, features: `device=p:.*userns=|userns=.*device=p:`, orlop: `^[03]$`, runc: `^1$`},
		{place: "| `linux.maskedPaths` and `linux.readonlyPaths` that are not absolute", key: `: status`, features: `(masked|readonly)=relative`, orlop: `^1$`},
		{place: "| `prestart` hooks", key: `hooks \d prestart: state$`, orlop: `"status":"created"`, runc: `"status":"creating"`},
		{place: "| the mode of a tmpfs", key: `mountinfo /`, features: `mount=tmpfs`, orlop: `- tmpfs tmpfs r[ow](,|$)`, runc: `- tmpfs tmpfs r[ow],.*mode=`},
		{place: "| a usage error", key: `exec: status`, features: `exec,(-[^ ]*,)?ID( |$)`, orlop: `^1$`, runc: `^255$`},
		{place: "| `linux.seccomp` without `defaultAction`", key: `: status`, features: `seccomp=no-default`, orlop: `^1$`},
		{place: "| the path of a device in `linux.devices`", key: `: status`, features: `device=\w:\d+:\d+:dev/`, orlop: `^1$`},
		{place: "| the path of a device in `linux.devices`", key: `: nodes `, features: `device=\w:\d+:\d+:/dev/(stdin|ptmx)`},
		{place: "| a hook path that is not absolute", key: `: (status|error)`, features: `hook=\w+:relative`, orlop: `^1?$`},
		{place: "| `kill` of a stopped container with an invalid signal", key: `kill: error`, features: `kill,ID,(65|NOSUCH)?( |$)`},
		{place: "| a namespace of the host that is joined by its path, beside a new user namespace", key: `: status$`, features: `ns=\w+:(hostpath|joined).*userns=|userns=.*ns=\w+:(hostpath|joined)`, orlop: `^[03]$`, runc: `^1$`},
		{place: "| `process.ioPriority` and `process.scheduler` in a user namespace", key: `: status$`, features: `(io|scheduler)=.*userns=|userns=.*(io|scheduler)=`, orlop: `^[03]$`, runc: `^1$`, crun: true},
		{place: "| a device rule without `access`", key: `: status`, features: `rule=[^ ]*:x( |$)`, orlop: `^1$`},
		{place: "| `exec --additional-gids`", key: `exec: files status Groups`, features: `exec,`, runc: `(2000.*){2}`},
		{place: "| `HOME` for a line of `/etc/passwd` without a home", key: `environ`, features: `image=passwd-no-home|mount=bind:[^ ]*:/etc/passwd:`, orlop: `^HOME=/$`, runc: `^HOME=$`},
		{place: "| a symbolic link as `root.path`", key: `: status`, features: `root=link`, orlop: `^[03]$`, crun: true},
		{place: "| a mount without a source", key: `mountinfo `, features: `mount=tmpfs::`, orlop: `tmpfs none`},
		{place: "| set-ID bits in the mode of a device", key: `: (nodes|tree) `, features: `:4095:`, orlop: ` 7777 `, runc: ` 1777 `},
		{place: "| `/` in `linux.readonlyPaths`", key: `mountinfo .* #\d$`, features: `readonly=/( |$)`, orlop: `^\(none\)$`},
		{place: "| no `ociVersion`", key: `: (status|error)`, features: `version=none`, orlop: `^1$`},
		{place: "| `ociVersion` 2.0.0", key: `: status`, features: `version=(2.0.0|0.9.0|x)`, orlop: `^1$`},
		{place: "| `ONLCR` of a terminal", key: `: terminal oflag$`, features: `exec,|terminal=`},
		{place: "| `exec ID -- COMMAND`", key: `exec: (status|error)`, features: `ID,--`, runc: `^(255|executable file not found)$`},
		{place: "| a program that cannot be executed", key: `: status`, features: `args=`, orlop: `^1$`, runc: `^255$`},
		{place: "| the flags of the hierarchies of cgroup v1 in a cgroup namespace", key: `mountinfo /.*/(blkio|cpu|cpuacct|cpuset|devices|freezer|hugetlb|memory|misc|net_cls|net_prio|perf_event|pids|rdma|systemd)$`, features: `ns=cgroup:`, crun: true},
		{place: "| the cgroup mount on cgroup2", key: `mountinfo /`, orlop: `^.CGROUP(/[^ ]*)? .* - cgroup2 `, runc: `^/ .* - cgroup2 `},
		{place: "| the cgroup mount on cgroup2", key: `: tree /`, features: `mount=cgroup:`, orlop: `^directory 755`, runc: `^directory 555`},
		{place: "| a limit of cgroup v1 without an equivalent in cgroup2", key: `: status`, features: `network=|memory=(swappiness|kernel|oomkill)`, orlop: `^1$`},
		{place: "| a device rule of all types", key: `cgroup file devices.list`, features: `rule=\w+:a:`},
		{place: "| a mount with the options `remount` and `ro`", key: `mountinfo `, features: `mount=[^ ]*remount`, orlop: `^/ ro,.* ro`, runc: `^/ ro,.* rw`},
		{place: "| a mount with the option `remount`, in a user namespace", key: `mountinfo |: status$`, features: `userns=.*mount=[^ ]*remount|mount=[^ ]*remount.*userns=`},
		{place: "| a mount of type `mqueue`, with the host's IPC namespace", key: `: status`, features: `userns=.*ns=ipc:(host|joined)|ns=ipc:(host|joined).*userns=`, orlop: `^[03]$`, runc: `^1$`},
		{place: "| an `/etc/passwd` that is a fifo", key: `: (status|stuck)$`, features: `image=passwd-fifo|mount=bind:fifo:/etc/passwd:`, runc: `^(137|yes)$`},
		{place: "| a mount of type `bind` whose options", key: `: status$`, features: `mount=bind:\w+:[^: ]+:[^b ]*( |$)`, orlop: `^[03]$`, runc: `^1$`},
		{place: "| `linux.resources.hugepageLimits` on a hybrid host", key: `: status`, features: `hugepage=2MB`, orlop: `^[03]$`, runc: `^1$`},
		{place: "| `kill ID ''`", key: `kill: (status|error)`, features: `:kill,ID,( |$)`, orlop: `^1?$`, runc: `^0?$`},
		{place: "| `kill` of a created container", key: `: status$`, features: `step=created:kill,ID,`},
		{place: "| a tmpfs with `tmpcopyup` on a directory that the image lacks", key: `: tree `, features: `mount=tmpfs:[^ ]*tmpcopyup`, orlop: `^directory 755`, runc: `^directory 1777`},
		{place: "| `kill` with a real-time signal by its name", key: `kill: (status|error)`, features: `kill,ID,RTMIN`, runc: `^1?$`},
		{place: "| a type twice in `process.rlimits`", key: `: status`, features: `rlimit=AS:.*rlimit=AS:|rlimit=CORE:.*rlimit=CORE:|rlimit=FSIZE:.*rlimit=FSIZE:|rlimit=MEMLOCK:.*rlimit=MEMLOCK:|rlimit=NOFILE:.*rlimit=NOFILE:|rlimit=NPROC:.*rlimit=NPROC:|rlimit=RTPRIO:.*rlimit=RTPRIO:|rlimit=STACK:.*rlimit=STACK:`, orlop: `^1$`, runc: `^[03]$`},
		{place: "| crun's annotations |", key: `: status`, features: `annotation=run.oci.handler=`, orlop: `^1$`},
		{place: "| `linux.rootfsPropagation` of `unbindable`", key: `mountinfo `, features: `propagation=unbindable`, orlop: ` master `, runc: ` shared `},
		{place: "| a path of `linux.maskedPaths` or `linux.readonlyPaths` below a file", key: `: status`, features: `(masked|readonly)=/etc/passwd/x`, orlop: `^[03]$`, runc: `^1$`},
		{place: "| a poststop hook that fails", key: `delete: status$`, features: `hook=poststop:`, orlop: `^0$`, runc: `^1$`},
		{place: "| `LISTEN_FDS` of `process.env` for `exec`", key: `(exec|detached process): environ `, features: `env=LISTEN_FDS`},
		{place: "| a standard stream that is the host's `/dev/null`", key: `(exec|detached process): (links fd:|streams )[012]$`, features: `step=\w+:exec,`, orlop: `/dev/null$| dev$`, runc: `/dev/null$| other$`},
		{place: "| a limit of `process.rlimits` that the kernel refuses", key: `create: status$`, features: `rlimit=NOFILE:1:1073741817`, orlop: `^0$`, runc: `^1$`},
		{place: "| mounts of a container without a mount namespace", key: `^left mount `, features: `ns=mount:host`, orlop: `^\(none\)$`},
		{place: "| crun's annotations |", key: `: files status Groups$`, features: `annotation=run.oci.keep_original_groups=1`, crun: true},
		{place: "| a filesystem mounted where it is mounted already", key: `: status$`, features: `mount=sysfs:[^ :]*:/sys:`, orlop: `^[03]$`, runc: `^1$`},
		{place: "| a mount on a path in `/proc` that does not exist", key: `: error$`, features: `:/proc/nosuch`, orlop: `^$`, runc: `no such file`},
		{place: "| `pause` on a busy machine, on cgroup v1", key: `pause: status$`, features: `:pause,`, orlop: `^0$`, runc: `^1$`, crun: true},
		{place: "| masked paths of a container without `/proc`", key: `: status$`, features: `without=/proc.*masked=|masked=.*without=/proc`, orlop: `^[03]$`, runc: `^1$`, crun: true},
		{place: "| a mount on `/` |", key: `: (status|error)$`, features: `mount=\w*:[^: ]*:/:`, runc: `^1?$`},
		{place: "| the option `rro` of a mount that is not a bind mount", key: `mountinfo `, features: `rro`, orlop: `^/ ro`, runc: `^/ rw`},
		{place: "| poststart hooks |", key: `^left process$`, features: `hook=poststart:leave`, orlop: `^\(none\)$`},
		{place: "| directories that are created for mounts", key: `: tree `, features: `caller=umask`, orlop: `^directory 755`, runc: `^directory 700`},
		{place: "| several propagation options of a mount", key: `mountinfo `, features: `mount=bind[^ ]*(private|slave|shared|unbindable)[^ ]*(private|slave|shared|unbindable)`, orlop: `(rw|ro|time) (shared|master|) - `, runc: `(rw|ro|time) (shared|master|) - `},
		{place: "| a startContainer hook beyond `pids.limit`", key: `: status$`, features: `pids=0.*hook=startContainer|hook=startContainer.*pids=0`},
		{place: "| `linux.devices` in a user namespace, at a path", key: `: status$`, features: `device=\w:\d+:\d+:/data:.*userns=|userns=.*device=\w:\d+:\d+:/data:`, orlop: `^[03]$`, runc: `^1$`},
		{place: "| `linux.devices` in a user namespace |", key: `: status$`, features: `device=.*userns=|userns=.*device=`, orlop: `^[03]$`, runc: `^1$`, crun: true},
		{place: "| an option that clears a flag of a bind mount's source", key: `: status$`, features: `userns=.*mount=bind:[^ ]*(atime|suid|exec|dev|rw)|mount=bind:[^ ]*(atime|suid|exec|dev|rw)[^ ]* .*userns=`, orlop: `^[03]$`, runc: `^1$`, crun: true},
		{place: "| `/dev/core` in a container without", key: `nodes /dev/core -> /proc/kcore$`, features: `without=/proc`, orlop: `^\(none\)$`},
		{place: "| `process.consoleSize` in the foreground", key: `: terminal size$`, features: `sequence=foreground.*terminal=30x100|terminal=30x100.*sequence=foreground`, orlop: `^30x100$`, runc: `^0x0$`, crun: true},
		{place: "| `process.terminal` in a container without `/proc`", key: `: status$`, features: `without=/proc.*terminal=|terminal=.*without=/proc`, orlop: `^[03]$`, runc: `^1$`, crun: true},
		{place: "| a path twice in `linux.maskedPaths`", key: `mountinfo (/proc/sys|/proc/kcore|/etc/secret|/data|/data/dir|/tmp|/sys) #2$`, features: `(masked|readonly)=`, orlop: `^\(none\)$`},
		{place: "| `pids.max` for a `pids.limit` of 0", key: `cgroup file pids.max$`, features: `pids=0`, orlop: `^0$`, runc: `^1$`},
		{place: "| an unknown option of a bind mount", key: `: status`, features: `mount=(bind|none)?:[^ ]*mode=`, orlop: `^[03]$`, runc: `^1$`},
		{place: "| signals that the caller ignores", key: `SigIgn$`, features: `caller=ignored`, runc: `^0000000[0-3]0000000[01]$`, crun: true},
		{place: "| the session keyring's name", key: `session keyring`},
		{place: "| `..` in `linux.cgroupsPath`", key: `^left cgroup`, features: `cgroup=dots`, orlop: `^\(none\)$`},
		{place: "| `create` that fails, in a new cgroup below another new one", key: `^left cgroup`, features: `cgroup=(nested|trailing)`, orlop: `^\(none\)$`},
	}
}

// A rule is a row that is ready to be matched.
type rule struct {
	row
	key, features, orlop, runc *regexp.Regexp
}

// rules compiles the list.
func rules() []rule {
	var list []rule
	for _, r := range allowed() {
		list = append(list, rule{r, regexp.MustCompile(r.key), regexp.MustCompile(r.features), regexp.MustCompile(r.orlop), regexp.MustCompile(r.runc)})
	}
	return list
}

// match returns the row that allows a difference, or -1.
func match(rules []rule, c Case, d difference) int {
	for i, r := range rules {
		if r.key.MatchString(d.Key) && r.features.MatchString(c.String()) && r.orlop.MatchString(d.Orlop) && r.runc.MatchString(d.Runc) &&
			(!r.crun || d.asked && d.Orlop == d.Crun) {
			return i
		}
	}
	return -1
}
