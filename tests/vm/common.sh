# Sourced by build and run: where the machine lies and how QEMU is started.
#
# All of it, and what build puts into the guest, is hashed into the name of the machine's folder: a
# change makes another machine. What only concerns the running of a command belongs into run.

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/orlop-vm
key=$(tar -c -C "$here" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=go-w \
	build common.sh guest masked packages | sha256sum | cut -c 1-16)
machine=$cache/$key

# Two processors, so that a neighbour can race the runtime. `max` is all that the emulation can do.
processors=2
megabytes=2048

say() { echo "vm: $*" >&2; }

# tool PROGRAM ARGUMENT... becomes a program of those that build unpacked, with their own libraries. It ends after so many seconds.
tool() {
	local libraries=$machine/tools/usr/lib/x86_64-linux-gnu program=$machine/tools/usr/$1
	shift
	exec timeout --foreground --kill-after=5 "$seconds" "$libraries/ld-linux-x86-64.so.2" --library-path "$libraries" "$program" "$@"
}

# share SOCKET FOLDER CACHE serves a folder to the guest; it ends when the guest does. With the cache "auto" the guest
# fetches a program again at each start, which takes ten times as long as the start itself; with "always" it doesn't
# see what changes here.
share() {
	tool libexec/virtiofsd --socket-path="$1" --shared-dir="$2" --sandbox=chroot --cache="$3" --xattr --log-level=error
}

# qemu FOLDER KERNEL-ARGUMENTS CONSOLE ARGUMENT... runs the machine. FOLDER has the share's socket and gets the
# console's text; in it are the pipes control (what is told to the guest's host-command and by it), monitor
# (QEMU's own), out and err. CONSOLE is a character device of QEMU's.
#
# The saved state fits these devices and no others: everything but the ends of the pipes must stay the same.
qemu() {
	local folder=$1 arguments=$2 console=$3
	shift 3
	tool bin/qemu-system-x86_64 \
		-machine q35,memory-backend=memory -accel tcg,thread=multi,tb-size=512 -cpu max -smp $processors -m $megabytes \
		-object "memory-backend-memfd,id=memory,size=${megabytes}M,share=on" \
		-nodefaults -no-user-config -no-reboot -display none \
		-L "$machine/tools/usr/share/qemu" -L "$machine/tools/usr/share/seabios" \
		-kernel "$machine/vmlinuz" -initrd "$machine/initrd.gz" \
		-append "console=ttyS0 panic=-1 quiet systemd.show_status=0 nokaslr no5lvl mitigations=off $arguments" \
		-chardev "$console,id=console" -serial chardev:console \
		-device virtio-blk-pci,drive=disk -device virtio-rng-pci \
		-chardev "socket,id=share,path=$folder/share" \
		-device vhost-user-fs-pci,chardev=share,tag=share,queue-size=1024 \
		-device virtio-serial-pci \
		-chardev "pipe,id=control,path=$folder/control" -device virtserialport,chardev=control,name=control \
		-chardev "file,id=out,path=$folder/out" -device virtserialport,chardev=out,name=out \
		-chardev "file,id=err,path=$folder/err" -device virtserialport,chardev=err,name=err \
		-chardev "pipe,id=monitor,path=$folder/monitor" -mon chardev=monitor,mode=readline "$@"
}
