package main

import (
	"math/rand/v2"
	"strings"
)

// imageKinds are oddities of images.
func imageKinds() map[string]kind {
	odd := map[string][]entry{
		"no-passwd":       {{"etc/passwd", "gone", ""}},
		"no-etc":          {{"etc", "gone", ""}},
		"no-proc":         {{"proc", "gone", ""}},
		"no-dev":          {{"dev", "gone", ""}},
		"no-sys":          {{"sys", "gone", ""}},
		"no-tmp":          {{"tmp", "gone", ""}},
		"passwd-garbage":  {{"etc/passwd", "file", "root:x:0:0::/root-of-garbage\n"}},
		"passwd-dir":      {{"etc/passwd", "dir", ""}},
		"passwd-link":     {{"etc/passwd", "link", "/data/passwd"}, {"data/passwd", "file", "root:x:0:0::/linked:/bin/sh\n"}},
		"passwd-dangling": {{"etc/passwd", "link", "/nosuch/passwd"}},
		"passwd-fifo":     {{"etc/passwd", "fifo", ""}},
		"passwd-no-home":  {{"etc/passwd", "file", "root:x:0:0:::/bin/sh\n"}},
		"no-group":        {{"etc/group", "gone", ""}},
		"dev-link":        {{"dev", "link", "data/dir"}},
		"proc-link":       {{"proc", "link", "data/dir"}},
		"sys-file":        {{"sys", "file", ""}},
		"proc-file":       {{"proc", "file", ""}},
		"dev-stdin":       {{"dev/stdin", "file", ""}, {"dev/null", "file", ""}, {"dev/ptmx", "dir", ""}},
		"dev-console":     {{"dev/console", "file", ""}, {"dev/fd", "file", ""}},
		"tmp-link":        {{"tmp", "link", "data"}},
		"mnt-file":        {{"mnt", "file", ""}},
		"masked-link":     {{"link-masked", "link", "etc/secret"}},
		"etc-link":        {{"real-etc", "dir", ""}, {"etc", "link", "real-etc"}},
	}
	return map[string]kind{"image": {8, 2, oneOf(names(odd)...), always(func(b *bundle, value string) { b.image = append(b.image, odd[value]...) })}}
}

// callerKinds are what is odd about who calls the runtime.
func callerKinds() map[string]kind {
	lines := map[string]string{
		"affinity":    `set -- taskset 1 "$@"`,
		"blocked":     `set -- env --block-signal=USR1,TERM "$@"`,
		"ignored":     `trap '' HUP USR2 PIPE`,
		"ignored-rt":  `trap '' 34 50`,
		"umask":       "umask 077",
		"no-stdin":    "exec 0<&-",
		"no-stdout":   "exec 1>&-",
		"no-stderr":   "exec 2>&-",
		"extra-fds":   "exec 5</etc/passwd 7>/dev/null",
		"nice":        `set -- nice -n 5 "$@"`,
		"batch":       `set -- chrt --batch 0 "$@"`,
		"idle-io":     `set -- ionice -c 3 "$@"`,
		"few-files":   "ulimit -n 256",
		"no-core":     "ulimit -c 0",
		"stack":       "ulimit -s 4096",
		"oom":         "echo 200 >/proc/self/oom_score_adj",
		"bare-env":    `set -- env -i "$@"`,
		"odd-env":     "export HOME=/odd PATH=/bin:/usr/bin:/usr/sbin XDG_RUNTIME_DIR=/nosuch LISTEN_PID=1",
		"cwd":         "cd /etc",
		"nnp":         `set -- setpriv --no-new-privs "$@"`,
		"inheritable": `set -- setpriv --inh-caps=+kill,+chown "$@"`,
		"groups":      `set -- setpriv --groups=7,8 "$@"`,
		"session":     `set -- setsid -w "$@"`,
		"gone-cwd":    `mkdir gone && cd gone && rmdir ../gone`,
	}
	return map[string]kind{"caller": {10, 2, oneOf(names(lines)...), always(func(b *bundle, value string) { b.caller = append(b.caller, lines[value]) })}}
}

func pickStep(r *rand.Rand) string {
	phase := oneOf("created", "running", "running", "running", "running", "stopped")(r)
	switch r.IntN(10) {
	case 0, 1, 2, 3, 4:
		flags := some(3, "-u,1000", "-u,1000:5", "-u,4242", "-u,sailor", "-g,2000", "-e,B=2", "-e,HOME=", "-e,A", "-e,PATH=/nosuch", "--cwd,/tmp", "--cwd,/nosuch/x", "--cap,CAP_NET_RAW", "--cap,CAP_NOSUCH",
			"--no-new-privs", "-t", "-d", "--preserve-fds,1", "--apparmor,nosuch")(r)
		command := oneOf("probe,once", "probe,once", "probe,once", "--,probe,once", "nosuch", "/etc/conf", "/etc", "true", "false", "sh,-c,kill -9 $$", "")(r)
		words := "exec"
		for _, more := range []string{flags, "ID", command} {
			if more != "" {
				words += "," + more
			}
		}
		return phase + ":" + words
	case 5:
		return phase + ":" + oneOf("update,--memory,33554432", "update,--pids-limit,20", "update,--cpu-share,300", "update,--cpu-quota,20000", "update,--cpuset-cpus,0", "update,--memory,1", "update,--cpuset-cpus,99",
			"update,--memory,-1", "update,--memory-swap,67108864", "update", "update,--cpu-period,1", "update,--blkio-weight,200")(r) + ",ID"
	case 6:
		return phase + ":" + oneOf("pause,ID", "resume,ID", "pause,ID")(r)
	case 7:
		return phase + ":kill,ID," + oneOf("USR1", "TERM", "KILL", "SIGKILL", "9", "sigusr1", "NOSUCH", "0", "65", "RTMIN+1", "STOP", "HUP", "")(r)
	case 8:
		return phase + ":" + oneOf("state,ID", "ps,ID", "start,ID", "delete,ID", "delete,nosuch", "state,nosuch", "kill,nosuch", "exec,nosuch,true", "create,ID", "ps,--format,json,ID", "start,nosuch", "delete,--force,nosuch",
			"start", "state,ID,more", "pause,nosuch", "list,-q", "state,../x")(r)
	default:
		return phase + ":" + oneOf("delete,--force,ID", "kill,--all,ID,KILL", "kill,ID,KILL")(r)
	}
}

// stepKinds are the commands that are called for the container.
func stepKinds() map[string]kind {
	return map[string]kind{
		"sequence": {6, 1, oneOf("foreground", "foreground", "created"), always(func(b *bundle, value string) {
			b.foreground, b.created = value == "foreground", value == "created"
		})},
		"step": {30, 4, pickStep, func(b *bundle, value string) error {
			parts, err := fields(value, 2)
			if err != nil {
				return err
			}
			words := strings.Split(parts[1], ",")
			for i, word := range words {
				if word == "ID" {
					words[i] = b.id
				}
			}
			b.steps = append(b.steps, step{parts[0], words})
			b.created = b.created || parts[0] == "created"
			return nil
		}},
	}
}
