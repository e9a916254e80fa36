#!/usr/bin/env bash
# A drill on this machine: Prometheus (from Debian) scrapes three members; every query of the dashboard has data; the leader is
# killed, an alert is seen firing, the member comes back, the alert is seen resolved; then the same with a majority. What the
# alerts wait for ("for:") is shortened to two seconds; their expressions are as they are. Under 90 s.
# ALMADIA names the program (default: the release build, else the debug build). Exit 3 when Prometheus cannot be had.
set -euo pipefail
cd "$(dirname "$0")/../.."

source scripts/lib/tools.sh
need_packages prometheus=prometheus python3=python3
if [ -z "${ALMADIA:-}" ]; then
    target="${CARGO_TARGET_DIR:-target}"
    ALMADIA="$target/release/almadia"
    [ -x "$ALMADIA" ] || ALMADIA="$target/debug/almadia"
fi
exec python3 scripts/monitoring/drill.py "$ALMADIA"
