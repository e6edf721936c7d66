#!/usr/bin/env bash
# Walks a busybox container through its life and shows every command with its result.
#
# Usage: tests/demo/demo.sh [RUNTIME]      (default ./orlop; run as root)
#
# Ends with status 0 when every step did what it should. Nothing is left afterwards, also
# after a failure or ^C: no process, mount, cgroup or directory.
set -uo pipefail

PATH=$PATH:/usr/sbin:/sbin:/bin
runtime=$(realpath "${1:-./orlop}") || exit 1
name=$(basename "$runtime")
id=demo-$$
cgroup=/orlop-demo-$$

if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' plain=$'\e[0m'; else bold='' dim='' red='' plain=''; fi

dir=
# shellcheck disable=SC2317 # runs as a trap
clean_up() {
	local status=$?
	trap '' INT TERM HUP
	if [ -n "$dir" ]; then
		"$runtime" --root "$dir/state" delete --force "$id" >/dev/null 2>&1
		"$runtime" --root "$dir/state" delete --force "$id-run" >/dev/null 2>&1
		rmdir /sys/fs/cgroup{,/*}"$cgroup" 2>/dev/null
		# Never remove files through a leftover mount: that fault must show.
		if grep -q " $dir/" /proc/self/mountinfo; then
			echo "demo: a mount is left below $dir" >&2
			status=1
		else
			rm -rf "$dir"
		fi
	fi
	exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

fail() {
	echo "${red}demo: $*$plain" >&2
	exit 1
}

title() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }

# show COMMAND... prints a command line as one could type it, and its output indented; the
# command's status must be the expected one, and its output must hold the expected text.
expect_status=0 expect_text=
show() {
	local line='' word status
	for word in "$@"; do
		case $word in *[' $;']*) word="'$word'" ;; esac
		line+="$word "
	done
	line=${line//$runtime/$name}
	line=${line//--root $dir\/state /}
	printf '%s$ %s%s\n' "$bold" "$line" "$plain"
	"$@" >"$dir/output" 2>&1 </dev/null
	status=$?
	sed -e "s/^/    /" -e '$a\' "$dir/output"
	if [ "$status" -ne 0 ]; then printf '    %s(status %d)%s\n' "$dim" "$status" "$plain"; fi
	[ "$status" -eq "$expect_status" ] || fail "status $status, expected $expect_status"
	[ -z "$expect_text" ] || grep -qF -- "$expect_text" "$dir/output" || fail "the output lacks \"$expect_text\""
	expect_status=0 expect_text=
}

# orlop ARGS... shows the runtime with the demo's own state directory, which isn't printed.
orlop() { show "$runtime" --root "$dir/state" "$@"; }

# has COMMAND tells whether the runtime has this subcommand.
has() { "$runtime" "$1" --help >/dev/null 2>&1; }

[ "$(id -u)" -eq 0 ] || fail "needs root"
busybox=$(command -v busybox) || fail "needs busybox (Debian: busybox-static)"
dir=$(mktemp -d /tmp/orlop-demo-XXXXXX) || exit 1
chmod 755 "$dir"
cd "$dir" || exit 1

title "A bundle: config.json and a root filesystem (busybox)"
mkdir -p bundle/rootfs/{bin,dev,etc,proc,sys,tmp,root}
cp "$busybox" bundle/rootfs/bin/busybox
for applet in $("$busybox" --list); do
	[ "$applet" = busybox ] || ln -s busybox "bundle/rootfs/bin/$applet"
done
echo "root:x:0:0:root:/root:/bin/sh" >bundle/rootfs/etc/passwd
show "$runtime" --version
cd bundle || exit 1
show "$runtime" spec
cd ..
# The example starts a shell on a terminal. Here it counts instead, in a cgroup of its own.
sed -i -e 's/"terminal": true/"terminal": false/' \
	-e "s|\"linux\": {|\"linux\": { \"cgroupsPath\": \"$cgroup/$id\",|" bundle/config.json
awk '/"args": \[/ { print "\t\t\"args\": [\"sh\", \"-c\", \"trap \\\"exit 7\\\" TERM; echo ready; while :; do sleep 1000 & wait; done\"],"; skip = 1 }
	!skip { print }
	skip && /\]/ { skip = 0 }' bundle/config.json >config.new && mv config.new bundle/config.json
show ls bundle bundle/rootfs

if has plan; then
	title "plan: what would be done, without doing it"
	expect_text=exec
	orlop plan --bundle bundle
fi

title "create: the container is set up, and its process waits"
mkfifo console
exec 3<>console
printf '%s$ %s create --bundle bundle %s%s\n' "$bold" "$name" "$id" "$plain"
"$runtime" --root "$dir/state" create --bundle bundle "$id" >console 2>errors </dev/null || fail "create: $(cat errors)"
expect_text='"created"'
orlop state "$id"

title "start: it runs"
orlop start "$id"
read -r -t 10 line <&3 || fail "the container says nothing"
echo "    the container says: $line"
expect_text=running
orlop list
expect_text='"running"'
orlop state "$id"

title "exec: more processes join it"
expect_text="sleep 1000"
orlop exec "$id" ps
orlop exec --cwd /tmp --env DECK=orlop "$id" sh -c 'echo "in $(pwd) on host $(hostname), deck $DECK, uid $(id -u)"'
expect_status=3
orlop exec "$id" sh -c 'exit 3'

title "kill: a signal ends it"
orlop kill "$id" TERM
for ((i = 0; i < 100; i++)); do
	"$runtime" --root "$dir/state" state "$id" | grep -q '"stopped"' && break
	read -r -t 0.05 <&3 # the shells have no other way to wait a moment without a process
done
expect_text='"stopped"'
orlop state "$id"

title "delete: nothing is left"
orlop delete "$id"
expect_status=1 expect_text="does not exist"
orlop state "$id"

title "run: all of it in one command, with the process's own status"
sed -i -e "s|\"args\": .*|\"args\": [\"sh\", \"-c\", \"echo hello from a container; exit 42\"],|" \
	-e "s|$cgroup/$id|$cgroup/$id-run|" bundle/config.json
expect_status=42 expect_text="hello from a container"
orlop run --bundle bundle "$id-run"

printf '\n%sThe demo is done.%s\n' "$bold" "$plain"
