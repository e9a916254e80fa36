#!/usr/bin/env bash
# Runs the real etcdctl through every group of its commands against a server and against etcd, and compares what it prints.
# The bar: every case the same, but for what etcdctl/allowed.toml allows, with its reason.
#
#   scripts/interop/etcdctl.sh [GROUP …]       see lib.sh for SERVER, ALMADIA, …; a GROUP is a file in etcdctl/cases
#
# SERVER=etcd compares etcd with itself: what then differs is a case that does not stand on firm ground.
set -euo pipefail
# shellcheck source=scripts/interop/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need jq jq
need protoc protobuf-compiler
find_programs both
if [ "$server" = almadia ]; then command_line="$almadia server"; else command_line=$etcd; fi
python3 "$checkout/scripts/interop/etcdctl/compare.py" --work "$work/compare" --etcd "$etcd" --server "$command_line" \
    --name "$server" "$@" &
comparing=$!
trap 'kill "$comparing" 2>/dev/null; wait "$comparing"; exit 130' INT TERM
wait "$comparing"
