package specconv

import (
	"slices"
	"strings"
)

// Environment returns an environment in which each name is there once, with the value that it has last: getenv(3) would find the first
// one. The order is that of these last entries. The list itself is returned when nothing is to be left out.
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
