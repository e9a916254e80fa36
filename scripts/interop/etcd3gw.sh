#!/usr/bin/env bash
# Runs the tests of the Python client `etcd3gw`, which talks to the JSON gateway, against a cluster of three members, and says how
# many passed. The tests come in the client's source package.
# The bar: all 39.
#
#   scripts/interop/etcd3gw.sh            see lib.sh for SERVER, ALMADIA, …
set -euo pipefail
# shellcheck source=scripts/interop/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/interop/python.sh
. "$checkout/scripts/interop/python.sh"

client_version=2.7.0
bar=39

find_programs
install_suite etcd3gw "$client_version" "etcd3gw==$client_version" pytest==8.3.4 oslotest==6.1.1
start_cluster 3 gateway

cd "$work/etcd3gw-$client_version"
export TOOZ_TEST_HTTP_URL=${client_urls[0]} TOOZ_TEST_ETCD_PORT=${client_urls[0]##*:}
run_pytest 300 etcd3gw

echo "etcd3gw $client_version against $server: $passed passed (bar $bar), $unexpected failed that should not"
[ "$passed" -ge "$bar" ] && [ "$unexpected" -eq 0 ]
