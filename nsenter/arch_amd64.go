package nsenter

const (
	elfMachine   = 62 // EM_X86_64
	segmentAlign = 0x1000
)
