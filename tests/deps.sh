#!/usr/bin/env bash
# Installs the Debian packages behind the named tools, only those that are missing.
#
# Usage: tests/deps.sh TOOL...
#
# Never fails: where a package can't be had (no apt, no root, no network), it says so, and
# the tests that need the tool are skipped with the reason and counted.
set -uo pipefail

# Tools in sbin are not on every root's PATH.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/bin

say() { echo "deps: $*" >&2; }

# package TOOL prints the Debian package of a tool when the tool is missing.
package() {
	case $1 in
	certificates) # Go fetches its modules over TLS
		[ -e /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates ;;
	busybox) # static, since the tests' root filesystem has no libraries
		local path
		if ! path=$(command -v busybox) || grep -aq '/ld-linux\|/ld-musl' "$path"; then
			echo busybox-static
		fi ;;
	qemu-aarch64 | qemu-x86_64) # run the tests of what is written in assembler
		command -v "$1-static" "$1" >/dev/null || echo qemu-user-static ;;
	aarch64-linux-gnu-gcc | x86_64-linux-gnu-gcc) # compile for another architecture, and link
		if ! command -v "$1" >/dev/null; then
			case $1 in aarch64*) echo gcc-aarch64-linux-gnu libc6-dev-arm64-cross ;; *) echo gcc-x86-64-linux-gnu libc6-dev-amd64-cross ;; esac
		fi ;;
	gcc) # and what it links programs with
		command -v gcc >/dev/null && [ -e /usr/include/stdlib.h ] || echo gcc libc6-dev ;;
	libseccomp) # to be linked statically; its Go binding finds it by pkg-config
		[ -e /usr/include/seccomp.h ] || echo libseccomp-dev
		command -v pkg-config >/dev/null || echo pkg-config ;;
	newuidmap) # gives ordinary users ranges of ids
		command -v newuidmap >/dev/null || echo uidmap ;;
	ip) # makes the tests' network devices
		command -v ip >/dev/null || echo iproute2 ;;
	ps) # orlop's ps command shows what it prints
		command -v ps >/dev/null || echo procps ;;
	man) # reads the man pages, as mandoc does
		command -v man >/dev/null || echo man-db ;;
	*) # the package has the tool's name
		command -v "$1" >/dev/null || echo "$1" ;;
	esac
}

missing=()
for tool in "$@"; do
	for name in $(package "$tool"); do
		missing+=("$name")
	done
done
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
	say "no apt-get here: not installed: ${missing[*]}"
	exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
	say "not root: not installed: ${missing[*]}"
	exit 0
fi

say "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt=(apt-get -qq -o Acquire::Retries=2 -o Acquire::http::Timeout=30 -o DPkg::Lock::Timeout=60)

# A third-party source that doesn't answer is not fatal: the installation decides.
"${apt[@]}" update >"$log" 2>&1 || say "apt-get update: $(tail -n 1 "$log")"

if ! "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1; then
	# One unknown package makes apt reject all of them: install each by itself.
	for name in "${missing[@]}"; do
		"${apt[@]}" install -y --no-install-recommends "$name" >"$log" 2>&1 ||
			say "not installed: $name: $(grep -m 1 '^E:' "$log" || tail -n 1 "$log")"
	done
fi
exit 0
