package intelrdt

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Stats are the statistics of a container's groups. Encoded as JSON they are the part intel_rdt of
// a "stats" event, in runc's format.
type Stats struct {
	// How the machine's caches can be divided, the default group's share, and the container's.
	L3CacheInfo       *L3CacheInfo `json:"l3_cache_info,omitempty"`
	L3CacheSchemaRoot string       `json:"l3_cache_schema_root,omitempty"`
	L3CacheSchema     string       `json:"l3_cache_schema,omitempty"`
	// The same for memory bandwidth.
	MemBwInfo       *MemBwInfo `json:"mem_bw_info,omitempty"`
	MemBwSchemaRoot string     `json:"mem_bw_schema_root,omitempty"`
	MemBwSchema     string     `json:"mem_bw_schema,omitempty"`
	// The monitoring group's counters, by cache; nil without one.
	MBMStats []BandwidthStats `json:"mbm_stats,omitempty"`
	CMTStats []CacheStats     `json:"cmt_stats,omitempty"`
}

// L3CacheInfo describes how the L3 caches can be divided.
type L3CacheInfo struct {
	CbmMask    string `json:"cbm_mask,omitempty"`
	MinCbmBits uint64 `json:"min_cbm_bits,omitempty"`
	NumClosids uint64 `json:"num_closids,omitempty"`
}

// MemBwInfo describes how memory bandwidth can be divided.
type MemBwInfo struct {
	BandwidthGran uint64 `json:"bandwidth_gran,omitempty"`
	DelayLinear   uint64 `json:"delay_linear,omitempty"`
	MinBandwidth  uint64 `json:"min_bandwidth,omitempty"`
	NumClosids    uint64 `json:"num_closids,omitempty"`
}

// BandwidthStats is the memory traffic beyond one L3 cache, in bytes.
type BandwidthStats struct {
	MBMTotalBytes uint64 `json:"mbm_total_bytes,omitempty"`
	MBMLocalBytes uint64 `json:"mbm_local_bytes,omitempty"`
}

// CacheStats is the occupancy of one L3 cache, in bytes.
type CacheStats struct {
	LLCOccupancy uint64 `json:"llc_occupancy,omitempty"`
}

// Read reads the statistics of a container in these groups; monitor may be "". It omits what this
// machine does not have.
func Read(dir, monitor string) (Stats, error) {
	root, err := Find()
	if err != nil {
		return Stats{}, err
	}
	return read(root, dir, monitor)
}

func read(root, dir, monitor string) (s Stats, err error) {
	all, err := os.ReadFile(filepath.Join(root, "schemata"))
	if err != nil {
		return s, err
	}
	own, err := os.ReadFile(filepath.Join(dir, "schemata"))
	if err != nil {
		return s, err
	}
	if info := filepath.Join(root, "info/L3"); has(info) {
		s.L3CacheInfo = &L3CacheInfo{CbmMask: text(info, "cbm_mask"), MinCbmBits: number(info, "min_cbm_bits"), NumClosids: number(info, "num_closids")}
		s.L3CacheSchemaRoot, s.L3CacheSchema = lineOf("L3", string(all)), lineOf("L3", string(own))
	}
	if info := filepath.Join(root, "info/MB"); has(info) {
		s.MemBwInfo = &MemBwInfo{BandwidthGran: number(info, "bandwidth_gran"), DelayLinear: number(info, "delay_linear"),
			MinBandwidth: number(info, "min_bandwidth"), NumClosids: number(info, "num_closids")}
		s.MemBwSchemaRoot, s.MemBwSchema = lineOf("MB", string(all)), lineOf("MB", string(own))
	}
	if monitor == "" {
		return s, nil
	}
	caches, err := filepath.Glob(filepath.Join(monitor, "mon_data/mon_L3_*")) // sorted
	for _, cache := range caches {
		if has(filepath.Join(cache, "llc_occupancy")) {
			s.CMTStats = append(s.CMTStats, CacheStats{number(cache, "llc_occupancy")})
		}
		if has(filepath.Join(cache, "mbm_total_bytes")) || has(filepath.Join(cache, "mbm_local_bytes")) {
			s.MBMStats = append(s.MBMStats, BandwidthStats{number(cache, "mbm_total_bytes"), number(cache, "mbm_local_bytes")})
		}
	}
	return s, err
}

func has(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// text reads a file with one value, and returns "" for a file that cannot be read.
func text(dir, name string) string {
	data, _ := os.ReadFile(filepath.Join(dir, name))
	return strings.TrimSpace(string(data))
}

// number reads a file with one number. The kernel may also report that a counter is "Unavailable"
// now.
func number(dir, name string) uint64 {
	n, _ := strconv.ParseUint(text(dir, name), 10, 64)
	return n
}

// lineOf returns a resource's line of a schemata file.
func lineOf(resource, schemata string) string {
	for line := range strings.Lines(schemata) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, resource+":") {
			return line
		}
	}
	return ""
}
