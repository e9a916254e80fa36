#!/usr/bin/env bash
# Runs the coordination tests of OpenStack's `tooz` (locks, groups, who joins and leaves) over its etcd3gw driver, which talks to the
# JSON gateway, against a cluster of three members, and says how many passed. The tests come in its source package.
# The bar: 67. The driver itself skips 18 of what it does not have, elections among them.
#
#   scripts/interop/tooz.sh            see lib.sh for SERVER, ALMADIA, …
set -euo pipefail
# shellcheck source=scripts/interop/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/interop/python.sh
. "$checkout/scripts/interop/python.sh"

tooz_version=9.1.0
bar=67
# The tests import every driver's library, whichever is tested.
packages=("tooz==$tooz_version" etcd3gw==2.7.0 pytest==8.3.4 pytest-xdist==3.6.1 fixtures==4.3.2 testtools==2.9.1 ddt==1.7.2
    sysv_ipc==1.2.0 pymemcache==4.0.0 redis==5.2.1)

find_programs
# sysv_ipc is compiled.
need cc gcc
install_suite tooz "$tooz_version" "${packages[@]}"
start_cluster 3 tooz

cd "$work/tooz-$tooz_version"
export TOOZ_TEST_URL=etcd3+http://${client_urls[0]#http://}
# Each test's groups and locks have names of their own, and one waits out a lease of 30 s: six at a time.
run_pytest 600 -n 6 tooz/tests/test_coordination.py tooz/tests/drivers/test_etcd3gw.py

echo "tooz $tooz_version against $server: $passed passed (bar $bar), $skipped skipped, $unexpected failed that should not"
[ "$passed" -ge "$bar" ] && [ "$unexpected" -eq 0 ]
