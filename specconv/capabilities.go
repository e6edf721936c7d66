package specconv

// capabilityTable returns the kernel's capabilities; the index is the number (include/uapi/linux/capability.h).
func capabilityTable() [41]string {
	return [41]string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", // 0-4
		"CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", // 5-9
		"CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", // 10-14
		"CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", // 15-19
		"CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", // 20-24
		"CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", // 25-29
		"CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", // 30-34
		"CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", // 35-39
		"CAP_CHECKPOINT_RESTORE", // 40
	}
}

// CapabilityNumber returns the kernel's number of a capability, by its name "CAP_CHOWN", and whether there is one of
// that name. A running kernel may know fewer: see /proc/sys/kernel/cap_last_cap.
func CapabilityNumber(name string) (uint, bool) {
	for i, n := range capabilityTable() {
		if n == name {
			return uint(i), true
		}
	}
	return 0, false
}

// CapabilityNames returns the names of all capabilities, by number.
func CapabilityNames() []string {
	table := capabilityTable()
	return table[:]
}
