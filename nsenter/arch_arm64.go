package nsenter

const (
	elfMachine   = 183 // EM_AARCH64
	segmentAlign = 0x10000
)
