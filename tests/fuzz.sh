#!/usr/bin/env bash
# Runs each fuzz target of the tree whose name matches RUN for some time; ends at the first one that finds something.
#
# Usage: tests/fuzz.sh TAGS FUZZTIME [RUN]
set -euo pipefail
cd "$(dirname "$0")/.."

tags=$1 fuzztime=$2 run=${3:-} count=0
while read -r package; do
	while read -r target; do
		echo "== $package $target ($fuzztime)"
		# Inputs that reach new code are minimized first: unbounded, that takes up all the time of slow targets.
		go test -tags "$tags" -run '^$' -fuzz "^$target\$" -fuzztime "$fuzztime" -fuzzminimizetime 10x "$package"
		count=$((count + 1))
	done < <(go test -tags "$tags" -run '^$' -list '^Fuzz' "$package" | grep '^Fuzz' | grep -E "$run" || true)
done < <(go list -tags "$tags" -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./...)
echo "$count fuzz targets ran"
