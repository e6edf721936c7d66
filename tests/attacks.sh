#!/usr/bin/env bash
# Tries each attack of tests/security ROUNDS times, races too, to the end, and prints a table of what came of them. What else the
# tests said is in LOG.
#
# Usage: tests/attacks.sh TAGS ROUNDS LOG [RUN]
set -euo pipefail
cd "$(dirname "$0")/.."

tags=$1 rounds=$2 log=$3 run=${4:-}
mkdir -p "$(dirname "$log")"
status=0
ORLOP_TEST_ROUNDS=$rounds go test -v -count=1 -timeout 0 -tags "$tags" -run "$run" ./tests/security 2>&1 | tee "$log" |
	sed -nu 's/^.*_test.go:[0-9]*: attack \(.*\) failed \([0-9]* of [0-9]*\) times$/\1: failed \2/p' || status=$?

attacks=$(grep -c '_test.go:[0-9]*: attack ' "$log" || true)
if [ "$status" -ne 0 ] || [ "$attacks" -eq 0 ]; then
	grep -A 20 -e '--- FAIL' -e '^FAIL' "$log" >&2 || tail -n 20 "$log" >&2
	echo "not every attack failed each time, or a test did: see $log"
	exit 1
fi
skipped=$(grep -c -e '--- SKIP' "$log" || true)
echo "$attacks attacks failed each time, $skipped tests skipped"
