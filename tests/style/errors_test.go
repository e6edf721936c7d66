package style

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestErrorsAreTyped: programs learn from the log what an error is, which takes an error of a type
// that says so. What only the text tells is found here.
func TestErrorsAreTyped(t *testing.T) {
	const made = `(?:fmt\.Errorf|errors\.New)\(["` + "`" + `]`
	rules := []struct {
		text   *regexp.Regexp
		advice string
	}{
		{regexp.MustCompile(made + `(?:annotations|hooks|linux|mounts|process|root)(?:[.\[][^ ]*)?: `), "the error does not know its field: use specconv.FieldError or Invalid"},
		{regexp.MustCompile(made + `[^"` + "`" + `\n]*(?:within|after|waited) %v`), "the error is not known as a timeout: use timeout.Errorf"},
	}
	for _, dir := range []string{"../../libcontainer", "../../specconv", "../../nsenter"} {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, r := range rules {
				for _, found := range r.text.FindAll(text, -1) {
					t.Errorf("%s: %s: %s", path, found, r.advice)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
