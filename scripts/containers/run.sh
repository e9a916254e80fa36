#!/usr/bin/env bash
# Almadia in containers that behave like a StatefulSet (lib.sh): started in any order, killed, paused, cut off, given other
# addresses, without their disks, scaled and rolled. About two minutes. Exit code 0: all rows hold; 3: no Docker engine can be had.
#
#   ALMADIA=FILE    the program (default: target/release/almadia). A static one runs in the product's own empty image
#   ROWS="a b"      only these rows, in the order given
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
chmod 755 "$work"
source scripts/containers/lib.sh
source scripts/containers/rows.sh
name_run "almadia-$$"
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

rows=(any_order leader_killed paused_and_cut other_address all_killed graceful_stop lost_disk no_quorum_no_founding scale roll acceptance tls)

begin

passed=0
if [ -n "${ROWS:-}" ]; then read -r -a rows <<<"$ROWS"; fi
for row in "${rows[@]}"; do
    begin=$SECONDS
    "row_$row"
    say "OK $row ($((SECONDS - begin)) s)"
    passed=$((passed + 1))
done
echo "containers: $passed rows hold"
