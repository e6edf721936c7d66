#!/usr/bin/env bash
# Tries each attack of tests/security ROUNDS times, races too, to the end, and prints a table of what came of them: a row as soon
# as an attack is over. What else the tests said is in LOG.
#
# Usage: tests/attacks.sh TAGS ROUNDS LOG [RUN]
set -euo pipefail
cd "$(dirname "$0")/.."

tags=$1 rounds=$2 log=$3 run=${4:-}
mkdir -p "$(dirname "$log")"
status=0
printf '| attack | rounds | repelled |\n|---|---|---|\n'
ORLOP_TEST_ROUNDS=$rounds go test -v -count=1 -timeout 0 -tags "$tags" -run "$run" ./tests/security 2>&1 | tee "$log" |
	sed -nu 's/^.*_test.go:[0-9]*: attack \(.*\) repelled \([0-9]*\) of \([0-9]*\) times$/| \1 | \3 | \2 |/p' || status=$?

attacks=$(grep -c '_test.go:[0-9]*: attack ' "$log" || true)
if [ "$status" -ne 0 ] || [ "$attacks" -eq 0 ]; then
	grep -A 20 -e '--- FAIL' -e '^FAIL' "$log" >&2 || tail -n 20 "$log" >&2
	echo "an attack was not repelled each time, or a test failed: see $log" >&2
	exit 1
fi
skipped=$(grep -c -e '--- SKIP' "$log" || true)
echo "$attacks attacks were repelled each time, $skipped tests skipped"
