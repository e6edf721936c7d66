package cli

import (
	"encoding/json"
	"io"
)

// writeJSON writes a value as indented JSON with a newline at the end.
func writeJSON(w io.Writer, v any, indent string) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	return e.Encode(v)
}
