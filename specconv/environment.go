package specconv

import (
	"slices"
	"strings"
)

// Environment returns an environment without duplicate names. The last value of a name counts,
// whereas getenv(3) would find the first. The order is that of the last entries. If there are no
// duplicates, it returns the list itself.
func Environment(env []string) []string {
	seen := make(map[string]struct{}, len(env))
	list := make([]string, 0, len(env))
	for _, entry := range slices.Backward(env) {
		name, _, _ := strings.Cut(entry, "=")
		if _, again := seen[name]; !again {
			seen[name] = struct{}{}
			list = append(list, entry)
		}
	}
	if len(list) == len(env) {
		return env
	}
	slices.Reverse(list)
	return list
}
