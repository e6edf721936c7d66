// Package jsonpath builds and compares the paths by which errors name the values of config.json,
// such as mounts[3].options and annotations["org.example"].
package jsonpath

import (
	"strconv"
	"strings"
)

// Index returns the path of an element of the array at path.
func Index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// Member returns the path of a member of the object at path. At the top level the path is the key.
func Member(path, key string) string {
	switch {
	case path == "":
		return key
	case plain(key):
		return path + "." + key
	}
	return path + "[" + strconv.Quote(key) + "]"
}

// plain reports whether a key needs no quotes in a path.
func plain(key string) bool {
	for i := 0; i < len(key); i++ {
		c := key[i]
		if c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return key != ""
}

// Holds reports whether the value at outer is the one at inner, or contains it.
func Holds(outer, inner string) bool {
	rest, ok := strings.CutPrefix(inner, outer)
	return ok && (rest == "" || outer != "" && (rest[0] == '.' || rest[0] == '['))
}
