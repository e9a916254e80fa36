#!/usr/bin/env bash
# Uses a cluster of three members as a JavaScript program does, by the npm client `etcd3` over gRPC: the package brings no tests, so
# these are ours (npm-etcd3/smoke.mjs).
# The bar: all of them.
#
#   scripts/interop/npm-etcd3.sh            see lib.sh for SERVER, ALMADIA, …
set -euo pipefail
# shellcheck source=scripts/interop/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

client_version=1.1.2
smoke=$checkout/scripts/interop/npm-etcd3/smoke.mjs

need node nodejs
need npm npm
find_programs
mkdir -p "$work/modules"
# No package's own script is run.
(cd "$work/modules" && npm install --silent --no-audit --no-fund --ignore-scripts "etcd3@$client_version") >"$work/npm.log" 2>&1 ||
    { tail -n 5 "$work/npm.log" >&2; unavailable "the npm package cannot be installed"; }
say "node: $(node --version); etcd3 $client_version"

start_cluster 3 npm
export MODULES=$work/modules/ ENDPOINTS
ENDPOINTS=$(IFS=,; echo "${client_urls[*]}")
timeout 300 node --test --test-reporter=tap "$smoke" >"$work/tap.txt" 2>&1 || true

# The lines at the end: "# pass 14", "# fail 0".
count() { sed -n "s/^# $1 \([0-9]*\)$/\1/p" "$work/tap.txt" | tail -n 1; }
passed=$(count pass)
total=$(grep -c '^test(' "$smoke")
if [ "${passed:-0}" -ne "$total" ]; then head -n 200 "$work/tap.txt"; fi

echo "etcd3 (npm) $client_version against $server: ${passed:-0} of $total passed"
[ "${passed:-0}" -eq "$total" ]
