#!/usr/bin/env bash
# What TLS costs: starts members of Almadia twice on this machine, one cluster in plain text, one with TLS for clients (who show
# certificates) and peers, measures both in turn with `almadia bench --versus`, prints the table and then, for each load, how many times
# the plain cluster's CPU an operation costs with TLS; stops everything it started.
#
#   scripts/bench-tls.sh                                             puts, 64 clients
#   scripts/bench-tls.sh put get --clients 64,256 --rounds 3         what to measure: arguments of almadia bench
#
# Environment:
#   ALMADIA    the program (default target/release/almadia)
#   MEMBERS    members of each side (default 3)
#   DATA_DIR   a directory on a real disk (default a new one under /var/tmp); all data is removed at the end
#   RATIO_MAX  fail if an operation costs more than so many times the plain cluster's CPU (the goal is 1.3)
set -euo pipefail

fail() { echo "bench-tls: $*" >&2; exit 1; }

root=$(cd "$(dirname "$0")/.." && pwd)
almadia=${ALMADIA:-$root/target/release/almadia}
members=${MEMBERS:-3}
[ -x "$almadia" ] || fail "there is no $almadia: run cargo build --release, or name it with ALMADIA"
command -v python3 >/dev/null || fail "python3 is missing: it finds free ports and divides"
[ $# -gt 0 ] || set -- put --clients 64
"$almadia" bench "$@" --help >/dev/null || fail "almadia bench does not understand: $*"

dir=$(mktemp -d "${DATA_DIR:-/var/tmp}/almadia-bench-tls.XXXXXX")
stop() {
    local file
    for file in "$dir"/*.pid; do
        [ -e "$file" ] && kill -9 "$(cat "$file")" 2>/dev/null
    done
    rm -rf "$dir"
}
trap stop EXIT
trap 'exit 130' INT TERM

make_certificates() {
    "$almadia" cert ca --dir "$dir"
    "$almadia" cert server --dir "$dir" --host 127.0.0.1
    "$almadia" cert peer --dir "$dir" --host 127.0.0.1
    "$almadia" cert client --dir "$dir" --name bench
}

# start SIDE SCHEME FLAG…: members with these flags besides names, places and addresses.
start() {
    local side=$1 scheme=$2 member initial="" endpoints=""
    shift 2
    local -a ports
    read -ra ports <<<"$(PYTHONPATH=$root/scripts/lib python3 -c "from ports import free_ports; print(*free_ports(2 * $members))")"
    for ((member = 0; member < members; member++)); do
        endpoints+="$scheme://127.0.0.1:${ports[2 * member]},"
        initial+="$side-$member=$scheme://127.0.0.1:${ports[2 * member + 1]},"
    done
    echo "${endpoints%,}" >"$dir/$side.endpoints"
    for ((member = 0; member < members; member++)); do
        local client=$scheme://127.0.0.1:${ports[2 * member]} peer=$scheme://127.0.0.1:${ports[2 * member + 1]}
        "$almadia" server --name "$side-$member" --data-dir "$dir/$side/$member" \
            --listen-client-urls "$client" --advertise-client-urls "$client" \
            --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" \
            --initial-cluster "${initial%,}" --initial-cluster-token "$side" "$@" \
            >>"$dir/$side-$member.log" 2>&1 </dev/null &
        echo $! >"$dir/$side-$member.pid"
        # Its end is ours, and nobody has to be told of it.
        disown
    done
    for _ in $(seq 60); do
        if "$almadia" put ready yes --endpoints "${endpoints%,}" --timeout 1s "${shown[@]}" >/dev/null 2>&1; then return; fi
        sleep 0.5
    done
    tail -n 5 "$dir/$side"-*.log >&2
    fail "$side did not start within 30 s"
}

pids() { cat "$dir/$1"-*.pid | paste -sd, -; }

make_certificates >/dev/null
shown=(--cacert "$dir/ca.crt" --cert "$dir/client.crt" --key "$dir/client.key")
start tls https --cert-file "$dir/server.crt" --key-file "$dir/server.key" --client-cert-auth --trusted-ca-file "$dir/ca.crt" \
    --peer-cert-file "$dir/peer.crt" --peer-key-file "$dir/peer.key" --peer-client-cert-auth --peer-trusted-ca-file "$dir/ca.crt"
start plain http

echo "Machine: $(nproc) × $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), Linux $(uname -r)." \
    "$("$almadia" --version), $members member(s) each. $(date -u +%Y-%m-%d). Command: almadia bench $*"
"$almadia" bench "$@" -o json "${shown[@]}" \
    --endpoints "$(cat "$dir/tls.endpoints")" --pids "$(pids tls)" --name tls \
    --versus "$(cat "$dir/plain.endpoints")" --versus-pids "$(pids plain)" --versus-name plain >"$dir/result.json"
python3 - "$dir/result.json" "${RATIO_MAX:-}" <<'END'
import json, sys

with open(sys.argv[1]) as file:
    result = json.load(file)
limit = float(sys.argv[2]) if sys.argv[2] else None
over = []
print("| load | clients | TLS: CPU µs/op | plain: CPU µs/op | TLS over plain | throughput TLS over plain |")
print("|---|---|---|---|---|---|")
for cell in result["loads"]:
    tls, plain = (side["figures"] for side in cell["sides"])
    ratio = tls["server_cpu_us_per_op"] / plain["server_cpu_us_per_op"]
    rate = tls["ops_per_second"] / plain["ops_per_second"]
    print(f"| {cell['workload']} | {cell['clients']} | {tls['server_cpu_us_per_op']:.1f} | {plain['server_cpu_us_per_op']:.1f} "
          f"| {ratio:.2f}× | {rate:.2f}× |")
    if limit is not None and ratio > limit:
        over.append(f"{cell['workload']}, {cell['clients']} clients: {ratio:.2f}")
if over:
    sys.exit(f"bench-tls: more than {limit} times the CPU of plain text: {'; '.join(over)}")
END
