package engines

import (
	"os"
	"path/filepath"
	"testing"
)

// testOptions: one container with many options; each is looked at from inside.
func testOptions(t *testing.T, c *cli) {
	shared := filepath.Join(c.s.dir, "shared") // an ordinary user's engine walks through it
	if err := os.MkdirAll(shared, 0o755); err != nil {
		t.Fatal(err)
	}
	flags := []string{
		"--rm", "--read-only", "--tmpfs", "/scratch:size=1m,mode=1777", "--cap-drop", "ALL", "--cap-add", "NET_BIND_SERVICE", "--user", "bob",
		"--group-add", "2001", "--volume", shared + ":/mnt:ro", "--volume", "things:/data", "--mount", "type=tmpfs,destination=/second",
		"--init", "--hostname", "inside", "--add-host", "other:10.1.2.3", "--sysctl", "net.ipv4.ip_unprivileged_port_start=99",
		"--ulimit", "nofile=100:200", "--ulimit", "core=0", "--device", "/dev/fuse:/dev/fuse2", "--shm-size", "8m", "--security-opt", "no-new-privileges",
		"--env", "A=1,2", "--workdir", "/tmp", "--dns", "10.9.8.7", "--label", "x=y",
	}
	if c.s.scarce {
		flags = append(flags, "--ulimit", "nproc=1024:4096")
	}
	wants := map[string]string{
		"user":                    "1000 1000",
		"groups":                  "1000 2000 2001",
		"read-only root":          "touch: /x: Read-only file system",
		"tmpfs":                   "1024 /scratch",
		"second tmpfs":            "tmpfs",
		"read-only volume":        "touch: /mnt/x: Read-only file system",
		"named volume":            "writable",
		"capabilities":            "0000000000000400",
		"first process":           "init",
		"hostname":                "inside",
		"added host":              "10.1.2.3",
		"sysctl":                  "99",
		"limit of files":          "100 200",
		"device":                  "a,e5",
		"shared memory":           "8192 /dev/shm",
		"no new privileges":       "1",
		"seccomp filter":          "2",
		"environment":             "1,2",
		"folder":                  "/tmp",
		"name server":             "nameserver 10.9.8.7",
		"masked file":             "empty",
		"read-only file":          "sh: can't create /proc/sys/kernel/domainname: Read-only file system",
		"processes of others":     "hidden",
		"limit of processes":      "20",
		"limit of memory":         "33554432",
		"limit of processor time": "50000",
	}
	if c.noLimits {
		for _, name := range []string{"limit of processes", "limit of memory", "limit of processor time"} {
			delete(wants, name)
		}
	} else {
		flags = append(flags, "--pids-limit", "20", "--memory", "32m", "--cpus", "0.5")
	}
	script := `
		echo "user: $(id -u) $(id -g)"
		echo "groups: $(id -G | tr ' ' '\n' | sort -n | uniq | tr '\n' ' ')"
		echo "read-only root: $(touch /x 2>&1)"
		echo "tmpfs: $(df -k /scratch | awk 'NR==2 {print $2, $6}')"
		echo "second tmpfs: $(grep ' /second ' /proc/mounts | cut -d ' ' -f 3)"
		echo "read-only volume: $(touch /mnt/x 2>&1)"
		echo "named volume: $(grep ' /data ' /proc/mounts | grep -q '[ ,]rw[ ,]' && echo writable)"
		echo "capabilities: $(grep ^CapBnd /proc/self/status | cut -f 2)"
		echo "first process: $(grep -q -e init -e catatonit /proc/1/comm && echo init)"
		echo "hostname: $(hostname)"
		echo "added host: $(grep other /etc/hosts | awk '{print $1}')"
		echo "sysctl: $(cat /proc/sys/net/ipv4/ip_unprivileged_port_start)"
		echo "limit of files: $(ulimit -Sn) $(ulimit -Hn)"
		echo "device: $(stat -c %t,%T /dev/fuse2)"
		echo "shared memory: $(df -k /dev/shm | awk 'NR==2 {print $2, $6}')"
		echo "no new privileges: $(grep ^NoNewPrivs /proc/self/status | cut -f 2)"
		echo "seccomp filter: $(grep ^Seccomp: /proc/self/status | cut -f 2)"
		echo "environment: $A"
		echo "folder: $PWD"
		echo "name server: $(grep 10.9 /etc/resolv.conf)"
		echo "masked file: $([ -s /proc/kcore ] && head -c 1 /proc/kcore | wc -c | grep -q 1 || echo empty)"
		echo "read-only file: $(sh -c 'echo x > /proc/sys/kernel/domainname' 2>&1)"
		echo "processes of others: $([ $(ls -d /proc/[0-9]* | wc -l) -lt 12 ] && echo hidden)"
		cd /sys/fs/cgroup
		echo "limit of processes: $(cat pids/pids.max pids.max 2>/dev/null)"
		echo "limit of memory: $(cat memory/memory.limit_in_bytes memory.max 2>/dev/null)"
		echo "limit of processor time: $(cat cpu/cpu.cfs_quota_us cpu.max 2>/dev/null | cut -d ' ' -f 1)"
	`
	a := c.run(t, flags, "sh", "-c", script)
	got := pairs(a.exits(t, 0))
	for name, want := range wants {
		t.Run(name, func(t *testing.T) { equal(t, name, got[name], want) })
	}
	c.ok(t, "volume", "rm", "things")
}
