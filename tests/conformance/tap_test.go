package main

import (
	"reflect"
	"testing"
)

func TestParseTAP(t *testing.T) {
	for name, tc := range map[string]struct {
		output string
		want   document
	}{
		"assertions": {"TAP version 13\nok 1 - holds\nnot ok 2 - does not\n# expect: 1,\n# actual: 2\nok 3 # SKIP not here\nnot ok 4 # TODO some day\n1..4\n",
			document{Assertions: []assertion{
				{Name: "holds", OK: true}, {Name: "does not", Detail: "expect: 1,\nactual: 2"},
				{Name: "not here", OK: true, Directive: skipDirective}, {Name: "some day", Directive: todoDirective},
			}}},
		"a block of an assertion": {"TAP version 13\nnot ok 1 - broken\n  ---\n  {\n    \"error\": \"exit status 1\"\n  }\n  ...\n1..1\n",
			document{Assertions: []assertion{{Name: "broken", Detail: `{ "error": "exit status 1" }`}}}},
		"an expected error": {"TAP version 13\nok 1 - refused\n  ---\n  {\n    \"error\": \"exit status 1\"\n  }\n  ...\n1..1\n",
			document{Assertions: []assertion{{Name: "refused", OK: true}}}},
		"nothing asserted": {"TAP version 13\n1..0\n", document{}},
		"nothing asserted, and an error": {"TAP version 13\n  ---\n  {\n    \"error\": \"too early\",\n    \"stderr\": \"why\\n\"\n  }\n  ...\n1..0\n",
			document{Errors: []string{"too early: why"}}},
		"an error in spoiled JSON": {"TAP version 13\n  ---\n  {\n    \"mode\": %!x(MISSING),\n    \"error\": \"100%!\"\n  }\n  ...\n1..0\n",
			document{Errors: []string{"100%!"}}},
		"several documents": {"TAP version 13\nok 1 - a\n1..1\nTAP version 13\nok 1 - b\n1..1\n",
			document{Assertions: []assertion{{Name: "a", OK: true}, {Name: "b", OK: true}}}},
		"the second has only an error": {"TAP version 13\nok 1 - a\n1..1\nTAP version 13\n  ---\n  {\"error\": \"late\"}\n  ...\n1..0\n",
			document{Assertions: []assertion{{Name: "a", OK: true}}, Errors: []string{"late"}}},
		"ended early": {"TAP version 13\nok 1 - a\n", document{Assertions: []assertion{{Name: "a", OK: true}}, Unfinished: []string{"no plan"}}},
		"a container's document": {"TAP version 13\n  ---\n  {\n    \"stderr\": \"\",\n    \"stdout\": \"TAP version 13\\nok 1 - x\\nnot ok 2 - y\\n1..2\\n\"\n  }\n  ...\nnot ok 1 - check\nok 2 - next\n1..2\n",
			document{Assertions: []assertion{{Name: "check", Detail: "in the container: y "}, {Name: "next", OK: true}}}},
		"a container's document ends early": {"TAP version 13\n  ---\n  {\n    \"stderr\": \"getwd: no\\n\",\n    \"stdout\": \"TAP version 13\\nok 1 - x\\n\"\n  }\n  ...\nok 1 - check\n1..1\n",
			document{Assertions: []assertion{{Name: "check", OK: true}}, Unfinished: []string{"runtimetest ended early: getwd: no"}}},
		"no output": {"", document{}},
	} {
		if got := parseTAP(tc.output); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, tc.want)
		}
	}
}

func TestJudge(t *testing.T) {
	const good, bad, silent = "TAP version 13\nok 1 - a\n1..1\n", "TAP version 13\nnot ok 1 - a\n1..1\n", "TAP version 13\n1..0\n"
	for name, tc := range map[string]struct {
		stdout         string
		status         int
		outcome        outcome
		passed, failed int
	}{
		"pass":             {good, 0, passed, 1, 0},
		"fail":             {bad, 0, failed, 0, 1},
		"status":           {good, 1, failed, 1, 1},
		"time limit":       {good, statusTimeLimit, failed, 1, 1},
		"no plan":          {"TAP version 13\nok 1 - a\n", 0, failed, 1, 1},
		"nothing asserted": {silent, 0, nothing, 1, 0},
		"no output":        {"", 0, nothing, 1, 0},
		"no output, fails": {"", 1, failed, 0, 1},
		"error":            {"TAP version 13\n  ---\n  {\"error\": \"x\"}\n  ...\n1..0\n", 0, errored, 0, 1},
		"skipped":          {"TAP version 13\nok 1 # SKIP a\nok 2 - b\n1..2\n", 0, passed, 1, 0},
	} {
		if r := judge("x", tc.stdout, "", tc.status); r.Outcome != tc.outcome || r.Passed != tc.passed || r.Failed != tc.failed {
			t.Errorf("%s: %s, %d passed, %d failed; want %s, %d, %d", name, r.Outcome, r.Passed, r.Failed, tc.outcome, tc.passed, tc.failed)
		}
	}
}
