#!/usr/bin/env bash
# Runs the integration tests that stand in the published crate `etcd-client` against a cluster, and says how many passed.
# The bar: all 26 of its ordinary run. Of the three it ignores, the two of RangeStream run where the server has it (etcd 3.5 has
# not), and the one that adds, promotes and removes a fourth member runs against both.
#
#   scripts/interop/etcd-client-rust.sh            see lib.sh for SERVER, ALMADIA, …
#
# CARGO_TARGET_DIR says where the crate is built (default: the work directory). Nothing of the checkout is compiled with it.
set -euo pipefail
# shellcheck source=scripts/interop/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

crate_version=0.21.1
bar=26
# Tests that may fail, by name with what is wrong; each lowers the bar by one. None is wanted here.
declare -A expected_failures=()

need cargo cargo
need protoc protobuf-compiler
# protoc's package does not bring the files that every protocol may import.
need /usr/include/google/protobuf/descriptor.proto libprotobuf-dev
find_programs
say "protoc: $(protoc --version); cargo: $(cargo --version)"

# cargo itself gets the crate from wherever this machine is configured to look.
fetch_crate() {
    mkdir -p "$work/fetch/src"
    : >"$work/fetch/src/lib.rs"
    cat >"$work/fetch/Cargo.toml" <<MANIFEST
[package]
name = "fetch"
version = "0.0.0"
edition = "2021"
[dependencies]
etcd-client = "=$crate_version"
[workspace]
MANIFEST
    local manifest
    manifest=$(cd "$work/fetch" && cargo metadata --quiet --format-version 1 | python3 -c '
import json, sys
print(next(p["manifest_path"] for p in json.load(sys.stdin)["packages"] if p["name"] == "etcd-client"))')
    cp -r "$(dirname "$manifest")" "$work/crate"
    chmod -R u+w "$work/crate"
    # Outside any workspace, wherever the temporary directory lies.
    printf '\n[workspace]\n' >>"$work/crate/Cargo.toml"
}

# The tests have a fixed address in one place, and a host name for the member that joins.
point_tests_at() {
    sed -i "s|localhost:[0-9]*|localhost:${client_urls[0]##*:}|" "$work/crate/tests/testing.rs"
    sed -i "s|\"http://[^\"]*\";|\"$1\";|" "$work/crate/tests/client.rs"
}

# run_tests LABEL ARGUMENTS…: runs them, keeps the log, prints the failures.
run_tests() {
    local label=$1
    shift
    (cd "$work/crate" && timeout 900 cargo test --quiet --no-fail-fast "$@" -- ${ignored:+--ignored} --test-threads 4) \
        >"$work/$label.txt" 2>&1 || true
    sed -n -e '/^error/p' -e '/^---- /,/^$/p' "$work/$label.txt" | head -n 120
}

# count WHAT FILES…: the sum of "N passed" or "N failed".
count() {
    local what=$1
    shift
    { grep -ho "[0-9]* $what" "$@" || true; } | awk '{ sum += $1 } END { print sum + 0 }'
}

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$work/target} CARGO_TERM_COLOR=never RUST_BACKTRACE=0
(fetch_crate) || unavailable "the crate cannot be fetched"
say "etcd-client $crate_version"
(cd "$work/crate" && cargo test --quiet --no-run) >"$work/build.txt" 2>&1 ||
    { tail -n 30 "$work/build.txt"; fail "the crate does not build"; }

# The authentication tests expect the user root to exist and tokens to end within four seconds.
start_cluster 1 single ETCD_AUTH_TOKEN_TTL=2
etcdctl --endpoints "${client_urls[0]}" user add root --new-user-password=rootpwd >"$work/root.log" 2>&1 &&
    etcdctl --endpoints "${client_urls[0]}" user grant-role root root >>"$work/root.log" 2>&1 ||
    say "the user root cannot be made: $(tail -n 1 "$work/root.log")"
point_tests_at http://127.0.0.1:1
ignored="" run_tests ordinary --test client --test namespace
ordinary=$(count passed "$work/ordinary.txt")
ordinary_failed=$(count failed "$work/ordinary.txt")
ordinary_expected=0
stop_cluster

stream="not run (etcd 3.5 has no RangeStream)"
stream_wanted=0 stream_passed=0
if [ "$server" = almadia ]; then
    stream_wanted=2
    start_cluster 1 stream ETCD_MAX_REQUEST_BYTES=10240
    point_tests_at http://127.0.0.1:1
    ignored=yes run_tests stream --test client test_get_stream
    stream_passed=$(count passed "$work/stream.txt")
    stream="$stream_passed of $stream_wanted"
    stop_cluster
fi

# A fourth member that is started as soon as the test has added it.
start_cluster 3 voter
read -r -a ports <<<"$(free_ports 2)"
member_names+=(joiner) client_urls+=("http://127.0.0.1:${ports[0]}") peer_urls+=("http://127.0.0.1:${ports[1]}")
cluster_text+=",joiner=${peer_urls[3]}"
point_tests_at "${peer_urls[3]}"
# etcd refuses new members until all have been connected for five seconds ("unhealthy cluster").
sleep 6
ignored=yes run_tests cluster --test client test_cluster &
testing=$!
for ((waited = 0; waited < 300; waited++)); do
    if etcdctl --endpoints "${client_urls[0]}" member list 2>/dev/null | grep -qF "${peer_urls[3]}"; then
        start_member 3 existing
        break
    fi
    kill -0 "$testing" 2>/dev/null || break
    sleep 0.2
done
wait "$testing" || true
cluster_passed=$(count passed "$work/cluster.txt")
stop_cluster

for name in "${!expected_failures[@]}"; do
    if grep -q "^---- $name stdout ----" "$work/ordinary.txt"; then
        say "expected to fail: $name (${expected_failures[$name]})"
        bar=$((bar - 1)) ordinary_expected=$((ordinary_expected + 1))
    else
        say "expected to fail, but did not: $name"
    fi
done

echo "etcd-client $crate_version against $server: $ordinary of $((ordinary + ordinary_failed)) passed (bar $bar);" \
    "RangeStream: $stream; fourth member: $cluster_passed of 1"
[ "$ordinary" -ge "$bar" ] && [ "$ordinary_failed" -eq "$ordinary_expected" ] && [ "$stream_passed" -ge "$stream_wanted" ] &&
    [ "$cluster_passed" -ge 1 ]
