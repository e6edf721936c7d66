package main

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
)

// What the suite's programs print is TAP 13 whose YAML blocks hold JSON, mostly: text in them was
// taken for a format by their TAP library, so that a per cent sign spoils the JSON. Some print
// several documents, one after the other, and those that run runtimetest in a container put its
// document into a block, as a JSON string.

// directive is what TAP says of an assertion beside ok or not ok.
type directive string

const (
	skipDirective directive = "skip"
	todoDirective directive = "todo"
)

// assertion is one line "ok" or "not ok".
type assertion struct {
	Name      string    `json:"name"`
	OK        bool      `json:"ok"`
	Directive directive `json:"directive,omitempty"`
	Detail    string    `json:"detail,omitempty"`   // of one that failed: the lines and the block that follow it
	Excepted  bool      `json:"excepted,omitempty"` // it was expected to fail: see exceptions
}

// failed tells whether the assertion counts against the runtime.
func (a assertion) failed() bool { return !a.OK && a.Directive == "" }

// document is all that a program printed.
type document struct {
	Assertions []assertion
	Errors     []string // "error" in blocks of a document without any assertion: how programs that assert nothing tell of a failure
	Unfinished []string // for each document without a plan, whose writer ended early: what is known of that
}

// parseTAP reads a program's output.
func parseTAP(output string) document {
	var p tapParser
	lines := strings.Split(output, "\n")
	for i := 0; i < len(lines); i++ {
		if strings.TrimSpace(lines[i]) == "---" {
			end := blockEnd(lines, i+1)
			p.block(strings.Join(lines[i+1:end], "\n"))
			i = end
			continue
		}
		p.line(lines[i])
	}
	p.finish()
	return p.doc
}

// blockEnd returns the index of the line that ends the block, or the number of lines.
func blockEnd(lines []string, i int) int {
	for i < len(lines) && strings.TrimSpace(lines[i]) != "..." {
		i++
	}
	return i
}

type tapParser struct {
	doc     document
	open    bool // a version was seen, and no plan
	start   int  // the document's first assertion
	errors  []string
	pending string // of a block before the assertion to which it belongs
}

func (p *tapParser) line(line string) {
	switch rest, isResult := cutResult(line); {
	case strings.HasPrefix(line, "TAP version "):
		p.finish()
		p.open, p.start = true, len(p.doc.Assertions)
	case isResult:
		a := parseResult(rest)
		a.OK = !strings.HasPrefix(line, "not ")
		if !a.OK {
			a.Detail = p.pending
		}
		p.pending = ""
		p.doc.Assertions = append(p.doc.Assertions, a)
	case strings.HasPrefix(line, "1.."):
		p.open = false
	case strings.HasPrefix(line, "# "):
		p.detail(strings.TrimPrefix(line, "# "))
	}
}

// cutResult returns what follows "ok" or "not ok".
func cutResult(line string) (string, bool) {
	rest, ok := strings.CutPrefix(strings.TrimPrefix(line, "not "), "ok ")
	return rest, ok
}

// parseResult reads "12 - name", "12 # SKIP name" or "12 # TODO name".
func parseResult(rest string) assertion {
	number, name, _ := strings.Cut(rest, " ")
	if _, err := strconv.Atoi(number); err != nil {
		name = rest
	}
	for _, d := range []struct {
		prefix string
		directive
	}{{"# SKIP ", skipDirective}, {"# TODO ", todoDirective}, {"- ", ""}} {
		if text, ok := strings.CutPrefix(name, d.prefix); ok {
			return assertion{Name: text, Directive: d.directive}
		}
	}
	return assertion{Name: name}
}

// detail adds to what is known of the assertion before it.
func (p *tapParser) detail(text string) {
	if n := len(p.doc.Assertions); n > p.start && !p.doc.Assertions[n-1].OK {
		a := &p.doc.Assertions[n-1]
		a.Detail = strings.TrimPrefix(a.Detail+"\n"+text, "\n")
	}
}

// block takes the content of a YAML block.
func (p *tapParser) block(text string) {
	if e := blockField(text, "error"); e != "" {
		if output := blockField(text, "stderr"); output != "" {
			e += ": " + strings.TrimSpace(output)
		}
		p.errors = append(p.errors, e)
	}
	inner := blockField(text, "stdout")
	if !strings.HasPrefix(inner, "TAP version ") {
		p.detail(compact(text))
		return
	}
	// runtimetest's document: the assertion on it follows. That one is only whether "not ok" is to
	// be found in it.
	doc := parseTAP(inner)
	var problems []string
	for _, a := range doc.Assertions {
		if a.failed() {
			problems = append(problems, "in the container: "+a.Name+" "+a.Detail)
		}
	}
	if len(doc.Unfinished) > 0 {
		early := "runtimetest ended early: " + strings.TrimSpace(blockField(text, "stderr"))
		p.doc.Unfinished = append(p.doc.Unfinished, early)
		problems = append(problems, early)
	}
	p.pending = strings.Join(problems, "\n")
}

// finish ends a document.
func (p *tapParser) finish() {
	if p.open {
		p.doc.Unfinished = append(p.doc.Unfinished, "no plan")
	}
	if len(p.doc.Assertions) == p.start {
		p.doc.Errors = append(p.doc.Errors, p.errors...)
	}
	p.open, p.errors, p.pending = false, nil, ""
}

// blockField takes a string from a block's JSON object, or from what is left of it.
func blockField(text, name string) string {
	var fields map[string]any
	if json.Unmarshal([]byte(text), &fields) == nil {
		value, _ := fields[name].(string)
		return value
	}
	match := regexp.MustCompile(`(?m)^\s*"` + name + `": ("(?:[^"\\]|\\.)*")`).FindStringSubmatch(text)
	if match == nil {
		return ""
	}
	var value string
	if json.Unmarshal([]byte(match[1]), &value) != nil {
		return strings.Trim(match[1], `"`)
	}
	return value
}

// compact puts a block on one line.
func compact(text string) string { return strings.Join(strings.Fields(text), " ") }
