#!/usr/bin/env bash
# A smoke study whose positive control passes, and its report made twice.
set -euo pipefail
cd "$(dirname "$0")/.."

# Two blocks are few: the twin of one healthy study in twenty looks different, and the study ends with 1.
log=$(mktemp)
make bench MATRIX=smoke CONTAINER=none | tee "$log" || true
study=$(sed -n 's/^study: //p' "$log" | tail -n 1)
rm "$log"
grep -q '^positive,.*passed' "$study/tables/controls.csv" || { echo "the positive control failed" >&2; exit 1; }
[[ -s $study/report.html ]] || { echo "no report in '$study'" >&2; exit 1; }

rm "$study/report.html"
.venv/bin/python -m harness report "$study" >/dev/null || true
[[ -s $study/report.html ]] || { echo "'harness report $study' made no report.html" >&2; exit 1; }
