package style

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// placedText is an error whose text begins with a field of config.json, of which nobody learns but by reading it.
var placedText = regexp.MustCompile(`(?:fmt\.Errorf|errors\.New)\(["` + "`" + `](?:annotations|hooks|linux|mounts|process|root)(?:[.\[][^ ]*)?: `)

// TestPlaced: an error that comes from a field of config.json is of a type that knows the field (specconv.Placed).
func TestPlaced(t *testing.T) {
	for _, dir := range []string{"../../libcontainer", "../../specconv"} {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, found := range placedText.FindAll(text, -1) {
				t.Errorf("%s: %s: the error does not know its field: use specconv.FieldError or Fault", path, found)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
