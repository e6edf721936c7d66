package cli

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"

	"github.com/orlop/orlop/specconv"
)

func (p *program) updateCommand() *cli.Command {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "resources", Aliases: []string{"r"},
			Usage: "read limits from the JSON `FILE`, as linux.resources in config.json; - is standard input. Other flags override it"},
	}
	for _, f := range limitFlags(new(specs.LinuxResources)) {
		flags = append(flags, &cli.StringFlag{Name: f.name, Usage: f.usage})
	}
	flags = append(flags,
		&cli.StringFlag{Name: l3CacheSchema, Usage: "set the L3 cache `SCHEMA` of the container's Intel RDT group, such as L3:0=ff;1=f0"},
		&cli.StringFlag{Name: memBwSchema, Usage: "set the memory bandwidth `SCHEMA` of the container's Intel RDT group, such as MB:0=50;1=70"})
	return &cli.Command{
		Name:      "update",
		Usage:     "change the limits of a container",
		ArgsUsage: idUsage,
		Description: "Limits without a flag keep their values. Sizes are bytes, or have a suffix: 512k, 1.5g, 64MiB (powers of 1024); -1 is unlimited.\n" +
			"If a limit is refused, the error names it; the limits before it stay set.",
		Flags:        flags,
		BashComplete: p.completeIDs(live),
		Action:       p.update,
	}
}

func (p *program) update(ctx *cli.Context) error {
	if err := oneID(ctx); err != nil {
		return err
	}
	r, err := p.readResources(ctx.String("resources"))
	if err != nil {
		return err
	}
	l3, memBw := ctx.String(l3CacheSchema), ctx.String(memBwSchema)
	// A container without a cgroup may have an Intel RDT group.
	limits := ctx.String("resources") != "" || l3 == "" && memBw == ""
	for _, f := range limitFlags(r) {
		value := ctx.String(f.name)
		if value == "" {
			continue
		}
		limits = true
		if err := f.set(value); err != nil {
			return usagef("update: --%s %q: %v", f.name, value, err)
		}
	}
	container, err := p.container(ctx)
	if err != nil {
		return err
	}
	if limits {
		err = container.Update(r)
	}
	if err == nil && (l3 != "" || memBw != "") {
		err = container.UpdateRDT(l3, memBw)
	}
	return err
}

// Flags of runc for the container's Intel RDT group.
const (
	l3CacheSchema = "l3-cache-schema"
	memBwSchema   = "mem-bw-schema"
)

// readResources reads the file of --resources. No file means no limits.
func (p *program) readResources(file string) (*specs.LinuxResources, error) {
	if file == "" {
		return new(specs.LinuxResources), nil
	}
	in, source := p.stdin, "standard input"
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("update: --resources: %w", err)
		}
		defer f.Close()
		in, source = f, file
	}
	data, err := io.ReadAll(io.LimitReader(in, specconv.MaxConfigSize+1))
	if err != nil {
		return nil, fmt.Errorf("update: --resources: %w", err)
	}
	r, warnings, err := specconv.ParseResources(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	for _, w := range warnings {
		p.log.warn(w)
	}
	return r, nil
}

// limitFlag is a flag for one field of linux.resources.
type limitFlag struct {
	name, usage string
	set         func(value string) error // the error says what the value must be
}

// limitFlags returns the flags of runc and crun, which set fields of r.
func limitFlags(r *specs.LinuxResources) []limitFlag {
	memory, cpu, io, pids := section(&r.Memory), section(&r.CPU), section(&r.BlockIO), section(&r.Pids)
	return []limitFlag{
		{"memory", "limit memory to `SIZE`", size(&memory.Limit)},
		{"memory-reservation", "set the soft limit of memory to `SIZE`", size(&memory.Reservation)},
		{"memory-swap", "limit memory and swap together to `SIZE`", size(&memory.Swap)},
		//nolint:staticcheck // deprecated, yet crun has the flag
		{"kernel-memory", "limit kernel memory to `SIZE`; kernels since 5.16 have no such limit", size(&memory.Kernel)},
		{"kernel-memory-tcp", "limit the memory of TCP buffers to `SIZE`", size(&memory.KernelTCP)},
		{"cpu-share", "set the `WEIGHT` of CPU time relative to other cgroups, from 2 to 262144", unsigned(&cpu.Shares)},
		{"cpu-quota", "limit CPU time in a period to `MICROSECONDS`; -1 is unlimited", signed(&cpu.Quota)},
		{"cpu-period", "set the length of a period to `MICROSECONDS`", unsigned(&cpu.Period)},
		{"cpu-burst", "let unused CPU time accumulate up to `MICROSECONDS`", unsigned(&cpu.Burst)},
		{"cpu-rt-runtime", "limit real-time CPU time in a real-time period to `MICROSECONDS`", signed(&cpu.RealtimeRuntime)},
		{"cpu-rt-period", "set the length of a real-time period to `MICROSECONDS`", unsigned(&cpu.RealtimePeriod)},
		{"cpu-idle", "run only when nothing else wants to if `N` is 1, normally if it is 0", signed(&cpu.Idle)},
		{"cpuset-cpus", "run on the `LIST` of CPUs, such as 0-3,7", text(&cpu.Cpus)},
		{"cpuset-mems", "use the `LIST` of memory nodes, such as 0,1", text(&cpu.Mems)},
		{"blkio-weight", "set the `WEIGHT` of block I/O relative to other cgroups, from 10 to 1000", unsigned(&io.Weight)},
		{"pids-limit", "limit the number of processes and threads to `N`; -1 is unlimited", signed(&pids.Limit)},
	}
}

// section returns a section of the resources, and creates it if it is missing.
func section[T any](s **T) *T {
	if *s == nil {
		*s = new(T)
	}
	return *s
}

func text(to *string) func(string) error {
	return func(value string) error {
		*to = value
		return nil
	}
}

func signed(to **int64) func(string) error {
	return func(value string) error {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return errors.New("must be a whole number")
		}
		*to = &n
		return nil
	}
}

func unsigned[T uint16 | uint64](to **T) func(string) error {
	return func(value string) error {
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil || uint64(T(n)) != n {
			return fmt.Errorf("must be a whole number from 0 to %d", ^T(0))
		}
		v := T(n)
		*to = &v
		return nil
	}
}

func size(to **int64) func(string) error {
	return func(value string) error {
		n, ok := parseSize(value)
		if !ok {
			return errors.New("must be a size such as 1048576, 512k or 1.5GiB, or -1 for unlimited")
		}
		*to = &n
		return nil
	}
}

// parseSize parses a number of bytes in the format of runc: a number, perhaps with a fraction; an
// optional blank; and an optional unit, k, m, g, t or p in either case, with B, iB or nothing after
// it. Units are powers of 1024.
func parseSize(s string) (int64, bool) {
	if s == "-1" {
		return -1, true
	}
	number := strings.TrimRight(s, "bBiIkKmMgGtTpP")
	unit, shift := strings.ToLower(s[len(number):]), 0
	number = strings.TrimSuffix(number, " ")
	if unit != "" && unit != "b" {
		// b, ib or nothing follows the letter.
		rest := unit[1:]
		shift = 10 * (1 + strings.IndexByte("kmgtp", unit[0]))
		if shift == 0 || rest != "" && rest != "b" && rest != "ib" {
			return 0, false
		}
	}
	if n, err := strconv.ParseUint(number, 10, 63); err == nil {
		return int64(n) << shift, n <= math.MaxInt64>>shift
	}
	if strings.Trim(number, "0123456789.") != "" { // no exponents, signs, infinities
		return 0, false
	}
	f, err := strconv.ParseFloat(number, 64)
	f *= float64(int64(1) << shift)
	return int64(f), err == nil && f < math.MaxInt64
}
