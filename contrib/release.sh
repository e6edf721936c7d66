#!/usr/bin/env bash
# Builds what is released, in a fresh copy of the tree: a static program for each architecture, and their hashes in SHA256SUMS. The same
# sources, Go, C compiler and libseccomp give the same bytes, wherever they are built.
#
# Usage: contrib/release.sh FOLDER [ARCHITECTURE...]     amd64 and arm64 unless named
#
# Of a foreign architecture the compiler of seccomp profiles, which is C, takes Debian's cross compiler and the libseccomp of that
# architecture. They are fetched on a Debian with root; where that fails, the program is built without seccomp and named so.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- amd64 arm64

say() { echo "release: $*" >&2; }

version=$(cat "$root/VERSION")
host=$(env -u GOARCH go env GOARCH)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

copy() { # the tree's files, without what was built, to a folder
	mkdir -p "$1"
	cd "$root"
	git ls-files -z --cached --others --exclude-standard | tar --null --ignore-failed-read -cf - -T - | tar -xf - -C "$1"
	cd - >/dev/null
}

triple() {
	case $1 in
	amd64) echo x86_64-linux-gnu ;;
	arm64) echo aarch64-linux-gnu ;;
	*) return 1 ;;
	esac
}

emulator() { # what runs a foreign program here, to ask it for its version
	case $1 in
	amd64) command -v qemu-x86_64-static qemu-x86_64 ;;
	arm64) command -v qemu-aarch64-static qemu-aarch64 ;;
	esac | head -n 1
}

# sysroot fetches libseccomp for a foreign architecture, with package lists of its own: apt's configuration stays as it is.
sysroot() { # ARCH FOLDER
	[ -e "$2/usr/include/seccomp.h" ] && return
	local apt=$work/apt
	mkdir -p "$2" "$apt/lists/partial" "$apt/archives/partial"
	local options=(-qq -o APT::Architecture="$1" -o APT::Architectures="$1" -o APT::Sandbox::User=root
		-o Dir::State::Lists="$apt/lists" -o Dir::Cache="$apt" -o Dir::State::status=/dev/null)
	(cd "$apt" && apt-get "${options[@]}" update && apt-get "${options[@]}" download libseccomp-dev && dpkg-deb -x libseccomp-dev_*.deb "$2")
}

# cross prints the environment of a foreign build, or fails.
cross() { # ARCH
	local name libraries=$root/build/sysroot/$1
	name=$(triple "$1") || return
	"$root/tests/deps.sh" "$name-gcc" "qemu-$(echo "$name" | cut -d- -f1)" >&2
	command -v "$name-gcc" >/dev/null && [ -n "$(emulator "$1")" ] || return
	sysroot "$1" "$libraries" >&2 || return
	echo "CC=$name-gcc" "EMULATOR=$(emulator "$1")" PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1 \
		"PKG_CONFIG_LIBDIR=$libraries/usr/lib/$name/pkgconfig" "PKG_CONFIG_SYSROOT_DIR=$libraries"
}

for arch; do
	tree=$work/$arch/orlop-$version
	copy "$tree"
	name=orlop-$version-linux-$arch environment=(GOARCH="$arch" GOOS=linux)
	rm -f "$out/$name" "$out/$name-without-seccomp"
	if [ "${SECCOMP:-1}" = 0 ]; then
		name+=-without-seccomp
	elif [ "$arch" != "$host" ]; then
		if words=$(cross "$arch"); then
			read -ra more <<<"$words"
			environment+=("${more[@]}")
		else
			say "no C compiler or libseccomp for $arch here: built without seccomp"
			name+=-without-seccomp environment+=(SECCOMP=0)
		fi
	fi
	env "${environment[@]}" make -C "$tree" --no-print-directory build >&2
	install -m 755 "$tree/orlop" "$out/$name"
	built+=("$name")
done
(cd "$out" && sha256sum "${built[@]}" | tee SHA256SUMS)
