#!/bin/sh
# The process of each container, and what exec starts: prints what it finds around it, in sections
# that parse knows. Its first argument says whether it then waits for a signal.

say() { echo "== $1"; }

say start
mode=$1
for arg; do echo "arg: $arg"; done
echo "pwd: $(pwd -P 2>&1)"

say links
ls -ln /proc/$$/fd /proc/$$/ns /proc/$$/cwd /proc/$$/root

say streams
for fd in 0 1 2; do
	if [ -e /proc/$$/fd/$fd ]; then
		own=other
		[ "$(stat -L -c %D /proc/$$/fd/$fd 2>&1)" = "$(stat -c %D /dev 2>&1)" ] && own=dev
		echo "$fd: $(stat -L -c '%F %a %u:%g %t:%T' /proc/$$/fd/$fd 2>&1) $own"
	fi
done

say environ
tr '\0' '\n' </proc/$$/environ 2>&1

say files
# Read by the shell itself: while it forks, all of its signals are blocked.
while IFS= read -r line; do echo "/proc/$$/status:$line"; done </proc/$$/status
grep -as '' /proc/$$/limits /proc/$$/cgroup /proc/$$/oom_score_adj /proc/$$/loginuid \
	/proc/$$/personality /proc/$$/timerslack_ns /proc/$$/uid_map /proc/$$/gid_map /proc/$$/setgroups \
	/proc/$$/coredump_filter /proc/$$/timens_offsets /proc/keys /proc/sys/kernel/hostname \
	/proc/sys/kernel/domainname /proc/sys/kernel/shm_rmid_forced /proc/sys/kernel/msgmax \
	/proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/ping_group_range \
	/proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/fs/mqueue/msg_max \
	/proc/sys/user/max_user_namespaces /sys/class/net/lo/flags

say mountinfo
cat /proc/$$/mountinfo 2>&1

say scheduling
if read -r stat </proc/$$/stat; then
	stat=${stat##*) }
	set -- $stat
	[ "$4" = $$ ] && leader=yes || leader=no
	[ "$5" = 0 ] && tty=none || tty=some
	shift 9
	echo "session leader: $leader"
	echo "tty: $tty"
	echo "priority: $7"
	echo "nice: $8"
	shift 20
	echo "rt priority: $9"
	shift 9
	echo "policy: $1"
fi
echo "io: $(ionice -p $$ 2>&1)"
echo "umask: $(umask)"

say nodes
find /dev ! -path '/dev/pts/[0-9]*' -exec stat -c '%N|%F %a %u:%g %t:%T' {} + 2>&1

say tree
find / -maxdepth 2 ! -path '/proc/*' ! -path '/bin/*' ! -path '/sys/*' ! -path '/dev/*' \
	-exec stat -c '%N|%F %a %u:%g' {} + 2>&1

say tries
try() {
	local what=$1 said
	shift
	if said=$("$@" 2>&1); then echo "$what: ok $said"; else echo "$what: $? $said"; fi
}
touch_file() { : >"$1" && rm -f "$1"; }
try 'write to the root' touch_file /.probe
try 'write below /tmp' touch_file /tmp/.probe
try 'write below /data' touch_file /data/.probe
try 'mkdir' mkdir /tmp/.dir && rmdir /tmp/.dir 2>/dev/null
try 'mount' mount -t tmpfs probe /mnt && umount /mnt 2>/dev/null
try 'write a sysctl' sh -c 'echo 1 >/proc/sys/kernel/shm_rmid_forced'
try 'set the host name' hostname probe.new
try 'read zero' head -c 1 /dev/zero
try 'own null' dd if=/dev/mine of=/dev/null bs=1 count=1
try 'masked file' cat /etc/secret
try 'execute below /data' /data/true
try 'mknod' mknod /tmp/.node c 1 3
try 'write to stdout' sh -c ': >>/dev/stdout'

if [ -t 0 ]; then
	say terminal
	tty 2>&1
	stty -a 2>&1 | tr ';' '\n'
	ls -ln /dev/console 2>&1
fi

say end
if [ "$mode" = hold ]; then
	trap 'exit 7' TERM
	trap 'echo usr1' USR1
	while :; do
		sleep 1000 &
		wait
	done
fi
exit 3
