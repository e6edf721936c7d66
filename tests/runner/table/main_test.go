package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTable(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	page := write("page.md", "before\n<!-- table -->\nold\n<!-- end of table -->\nafter\n")
	one := write("one.json", `[
		{"package": "p", "test": "TestA/x_y/1", "outcome": "pass"}, {"package": "p", "test": "TestA/x_y/2", "outcome": "fail"},
		{"package": "p", "test": "TestB", "outcome": "skip", "reason": "no B"}, {"package": "p", "test": "TestNo/x", "outcome": "pass"}, {"package": "guest p", "test": "TestA/z", "outcome": "pass"}]`)
	two := write("two.json", `[{"package": "p", "test": "TestA/x_y/1", "outcome": "pass"}]`)
	if err := run(page, []string{"one=" + one, "two=" + two}, []string{"TestNo"}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want := `before
<!-- table -->
| passed | one, here | two, here | one, guest |
|---|---:|---:|---:|
| **A** | 1, **1 failed** | 1 | 1 |
| &nbsp; x y | 1, **1 failed** | 1 |  |
| &nbsp; z |  |  | 1 |
| **B** | 1 skipped |  |  |
| **all** | 1, **1 failed**, 1 skipped | 1 | 1 |

Skipped:

- B, here: no B
<!-- end of table -->
after
`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
