#!/usr/bin/env bash
# Almadia in containers that behave like a StatefulSet (lib.sh): started in any order, killed, paused, cut off, given other
# addresses, without their disks, scaled and rolled. About four minutes. Exit code 0: all rows hold; 3: no Docker engine can be had.
#
#   ALMADIA=FILE    the program (default: target/release/almadia). A static one runs in the product's own empty image
#   ROWS="a b"      only these rows, in the order given
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
chmod 755 "$work"
source scripts/lib/tools.sh
source scripts/lib/engine.sh
source scripts/lib/images.sh
source scripts/containers/lib.sh
source scripts/containers/rows.sh
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

rows=(any_order leader_killed paused_and_cut other_address all_killed graceful_stop lost_disk no_quorum_no_founding scale roll)

need_packages python3=python3 readelf=binutils
almadia=${ALMADIA:-${CARGO_TARGET_DIR:-target}/release/almadia}
[ -x "$almadia" ] || fail "$almadia is not a program"
need_engine
make_images
docker network create --label "$run" "$run" >/dev/null
docker run --detach --name "$run-client" --label "$run" --network "$run" --read-only --tmpfs /tmp --cap-drop ALL \
    --stop-signal SIGKILL "$client_image" sleep 3600 >/dev/null
set_size 3
mapfile -t arguments < <(chart_arguments)

passed=0
if [ -n "${ROWS:-}" ]; then read -r -a rows <<<"$ROWS"; fi
for row in "${rows[@]}"; do
    begin=$SECONDS
    "row_$row"
    say "OK $row ($((SECONDS - begin)) s)"
    passed=$((passed + 1))
done
echo "containers: $passed rows hold"
