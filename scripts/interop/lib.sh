# What the suites of real clients share: tools by package name, a cluster of either server on free loopback ports, its end.
# Sourced, never run. It touches nothing outside the work directory, and ends only processes that it started, by id.
#
# Environment, all optional:
#   SERVER=almadia|etcd       whom to test (default almadia); etcd is there to compare with
#   ALMADIA=FILE              the program (default: built from this checkout)
#   ALMADIA_ETCD_BIN, ALMADIA_ETCDCTL_BIN   etcd's programs (default: fetched with scripts/fetch-etcd.sh)
#   KEEP=1                    leave the work directory in place and print its name
# shellcheck shell=bash

# etcd reads every ETCD_ variable as a flag and etcdctl every ETCDCTL_ one: what the caller's shell holds must not leak in.
for variable in $(compgen -e | grep -E '^ETCD(CTL)?_' || true); do unset "$variable"; done

server=${SERVER:-almadia}
# http, or https where a suite has made certificates (its settings then name them).
scheme=http
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
declare -A member_pids=()
client_urls=()
peer_urls=()
member_names=()
cluster_text=""

fail() { echo "interop: $*" >&2; exit 1; }
# What this machine cannot give: told apart from a failure by the exit code 3.
unavailable() { echo "interop: SKIPPED: $*" >&2; exit 3; }
say() { echo "interop: $*"; }

case $server in almadia | etcd) ;; *) fail "SERVER is \"$server\"; it can be almadia or etcd" ;; esac

clean_up() {
    local code=$?
    trap - EXIT INT TERM
    stop_cluster
    if [ "${KEEP:-0}" = 1 ]; then say "kept $work"; else rm -rf "$work"; fi
    exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# need COMMAND-OR-FILE PACKAGE: installs Debian's PACKAGE when that is not there.
need() {
    if command -v "$1" >/dev/null || [ -e "$1" ]; then return 0; fi
    command -v apt-get >/dev/null || unavailable "$1 is missing and this machine has no apt-get: install it by hand"
    say "$1 is missing: installing $2"
    apt-get update -q >"$work/apt.log" 2>&1 && apt-get install -qy --no-install-recommends "$2" >>"$work/apt.log" 2>&1 ||
        { tail -n 5 "$work/apt.log" >&2; unavailable "cannot install $2"; }
}

# Sets `etcd`, `etcdctl` and, if it is the one to be tested, `almadia`; prints their versions.
find_programs() {
    need python3 python3
    etcd=${ALMADIA_ETCD_BIN:-}
    etcdctl=${ALMADIA_ETCDCTL_BIN:-}
    if [ -z "$etcd" ] || [ -z "$etcdctl" ]; then
        "$checkout/scripts/fetch-etcd.sh" "$work/etcd" >"$work/fetch.log" || { cat "$work/fetch.log" >&2; unavailable "no etcd"; }
        etcd=$work/etcd/bin/etcd etcdctl=$work/etcd/bin/etcdctl
    fi
    etcd=$(realpath "$etcd") etcdctl=$(realpath "$etcdctl")
    # The suites call it by name.
    mkdir -p "$work/bin"
    printf '#!/bin/sh\nexec "%s" "$@"\n' "$etcdctl" >"$work/bin/etcdctl"
    chmod +x "$work/bin/etcdctl"
    export PATH="$work/bin:$PATH" ETCDCTL_API=3
    say "etcdctl: $(head -n 1 <<<"$(etcdctl version)")"
    if [ "$server" = etcd ] || [ "${1:-}" = both ]; then say "etcd: $(head -n 1 <<<"$("$etcd" --version)")"; fi
    if [ "$server" = almadia ]; then find_almadia; fi
}

find_almadia() {
    almadia=${ALMADIA:-}
    if [ -z "$almadia" ]; then
        say "building almadia"
        (cd "$checkout" && cargo build --release --locked --quiet)
        almadia=${CARGO_TARGET_DIR:-$checkout/target}/release/almadia
    fi
    [ -x "$almadia" ] || fail "$almadia is not a program"
    almadia=$(realpath "$almadia")
    say "almadia: $("$almadia" --version)"
}

# Prints COUNT free ports of the loopback interface, below the range that outgoing connections take theirs from.
free_ports() {
    python3 - "$1" <<'PYTHON'
import random, socket, sys
held = []
while len(held) < int(sys.argv[1]):
    candidate = socket.socket()
    try:
        candidate.bind(("127.0.0.1", random.randrange(12000, 32000)))
        held.append(candidate)
    except OSError:
        candidate.close()
print(*[each.getsockname()[1] for each in held])
PYTHON
}

# start_cluster COUNT PREFIX [NAME=VALUE …]: members PREFIX0, PREFIX1, … with these environment settings. Sets client_urls,
# peer_urls, member_names, cluster_text. Both servers take the same flags; settings that only one of them has go by
# environment, which both ignore where they do not know it.
start_cluster() {
    local count=$1 prefix=$2 number
    shift 2
    settings=("$@")
    client_urls=() peer_urls=() member_names=() cluster_text=""
    local ports
    read -r -a ports <<<"$(free_ports $((count * 2)))"
    for ((number = 0; number < count; number++)); do
        member_names+=("$prefix$number")
        client_urls+=("$scheme://127.0.0.1:${ports[number * 2]}")
        peer_urls+=("$scheme://127.0.0.1:${ports[number * 2 + 1]}")
        cluster_text+="${cluster_text:+,}$prefix$number=${peer_urls[number]}"
    done
    for ((number = 0; number < count; number++)); do start_member "$number" new; done
    wait_ready "${client_urls[@]}"
}

# start_member NUMBER new|existing: the names, URLs and cluster_text must be set. `--name` and `--data-dir` stand first and
# together because a suite finds its members by them.
start_member() {
    local number=$1 state=$2 program=("$etcd")
    if [ "$server" = almadia ]; then program=("$almadia" server); fi
    local name=${member_names[number]}
    env "${settings[@]}" "${program[@]}" --name "$name" --data-dir "$work/data/$name" \
        --listen-client-urls "${client_urls[number]}" --advertise-client-urls "${client_urls[number]}" \
        --listen-peer-urls "${peer_urls[number]}" --initial-advertise-peer-urls "${peer_urls[number]}" \
        --initial-cluster "$cluster_text" --initial-cluster-state "$state" --initial-cluster-token "interop-$$" \
        >"$work/$name.log" 2>&1 &
    member_pids[$name]=$!
}

# Until each endpoint answers a linearizable read, 30 s at most.
wait_ready() {
    local url deadline=$((SECONDS + 30))
    for url in "$@"; do
        until etcdctl --endpoints "$url" --command-timeout 2s get interop-ready >/dev/null 2>"$work/ready.log"; do
            if [ $SECONDS -ge $deadline ]; then
                cat "$work/ready.log" >&2
                tail -n 20 "$work"/*.log >&2
                fail "no answer from $url"
            fi
            sleep 0.1
        done
    done
}

# Ends every member by its id and forgets its data.
stop_cluster() {
    local name
    for name in "${!member_pids[@]}"; do kill -CONT "${member_pids[$name]}" 2>/dev/null || true; done
    for name in "${!member_pids[@]}"; do kill "${member_pids[$name]}" 2>/dev/null || true; done
    for name in "${!member_pids[@]}"; do
        timeout 10 tail --pid="${member_pids[$name]}" -f /dev/null || kill -KILL "${member_pids[$name]}" 2>/dev/null || true
        wait "${member_pids[$name]}" 2>/dev/null || true
    done
    member_pids=()
    rm -rf "$work/data"
}
