#!/usr/bin/env bash
# Measures Almadia against a real etcd on this machine: starts members of both on free loopback ports, with data on a real
# disk, runs `almadia bench --versus` on them in turn, prints the tables and stops everything it started.
#
#   ETCD_BIN=DIR/bin scripts/bench-versus-etcd.sh                       all loads, 3 members each
#   ETCD_BIN=DIR/bin scripts/bench-versus-etcd.sh put --clients 64      what to measure: arguments of almadia bench
#   ETCD_BIN=DIR/bin FULL=1 scripts/bench-versus-etcd.sh compaction --rounds 1
#
# Loads:        put get serializable-get range txn list count mix kube keepalive watch all
# Disturbances: compaction lease-expiry slow-watcher     (several words are measured one after the other, loads first)
#
# Environment:
#   ETCD_BIN        where etcd is (scripts/fetch-etcd.sh DIR puts it into DIR/bin)
#   ALMADIA         the program (default target/release/almadia)
#   MEMBERS         members of each side (default 3)
#   DATA_DIR        a directory on a real disk (default a new one under /var/tmp); all data is removed at the end
#   OWN_DISK_GIB    give each side a file system of its own, of this size, in a file under DATA_DIR: then the bytes that reach the disk are
#                   counted for each side alone (as root, on Linux with loop devices; it costs both sides a little)
#   OUT             also write the tables to this Markdown file
#   FULL            1: disturbances as large as the goals want them unless given (a million revisions compacted, 10,000 of 100,000 leases
#                   expire, a watcher 500,000 revisions behind); minutes for each round
#   FAILOVER_RUNS   also kill each side's leader this often and measure the gap in writes (default 0)
#   ALMADIA_SERVER  what starts our side's member, instead of "$ALMADIA server"
set -euo pipefail

fail() { echo "bench-versus-etcd: $*" >&2; exit 1; }

root=$(cd "$(dirname "$0")/.." && pwd)
almadia=${ALMADIA:-$root/target/release/almadia}
members=${MEMBERS:-3}
failover_runs=${FAILOVER_RUNS:-0}
[ -n "${ETCD_BIN:-}" ] || fail "ETCD_BIN is not set: run scripts/fetch-etcd.sh DIR, then set ETCD_BIN=DIR/bin"
[ -x "$ETCD_BIN/etcd" ] || fail "there is no etcd in $ETCD_BIN: run scripts/fetch-etcd.sh"
[ -x "$almadia" ] || fail "there is no $almadia: run cargo build --release, or name it with ALMADIA"
almadia_server=${ALMADIA_SERVER:-$almadia server}

[ $# -gt 0 ] || set -- all
if [ "${FULL:-0}" = 1 ]; then
    while read -r flag value; do
        case " $* " in
            *" $flag"[\ =]*) ;;
            *) set -- "$@" "$flag" "$value" ;;
        esac
    done <<END
--revisions 1000000
--leases 100000
--leases-due 10000
--behind 500000
END
fi
# Wrong words are told before anything is started.
"$almadia" bench "$@" --help >/dev/null || fail "almadia bench does not understand: $*"

dir=$(mktemp -d "${DATA_DIR:-/var/tmp}/almadia-bench.XXXXXX")
case $(stat -f -c %T "$dir") in
    tmpfs | ramfs) rmdir "$dir"; fail "$dir is in memory: set DATA_DIR to a directory on a disk" ;;
esac

stop() {
    local file side
    for file in "$dir"/*.pid; do
        [ -e "$file" ] && kill -9 "$(cat "$file")" 2>/dev/null
    done
    for side in almadia etcd; do
        [ -e "$dir/$side.device" ] || continue
        # Members that were just killed let go of their files a moment later.
        for _ in $(seq 50); do umount "$dir/$side" 2>/dev/null && break; sleep 0.1; done
        losetup -d "/dev/$(cat "$dir/$side.device")" || true
    done
    ! mountpoint -q "$dir/almadia" && ! mountpoint -q "$dir/etcd" && rm -rf "$dir"
}
trap stop EXIT
trap 'exit 130' INT TERM

# Prints a port of the loopback address on which nobody listens.
free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        [ -e "$dir/port-$port" ] && continue
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue
        : >"$dir/port-$port"
        echo "$port"
        return
    done
}

# Makes a side's directory, with OWN_DISK_GIB on a file system of its own.
make_room() {
    local side=$1 device
    mkdir "$dir/$side"
    [ -n "${OWN_DISK_GIB:-}" ] || return 0
    # Written, not only made longer: the first write to each part would cost extra.
    dd if=/dev/zero of="$dir/$side.image" bs=1M count=$((OWN_DISK_GIB * 1024)) status=none
    device=$(losetup --find --show --direct-io=on "$dir/$side.image")
    basename "$device" >"$dir/$side.device"
    mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 "$device"
    mount "$device" "$dir/$side"
}

# The words that tell the benchmark a side's device, if it has one.
device() {
    [ ! -e "$dir/$1.device" ] || echo "$2" "$(cat "$dir/$1.device")"
}

# Writes one start script for each member of a side; a start script starts its member and prints its process id.
prepare() {
    local side=$1 server=$2 extra=$3 member peers="" initial=""
    local -a client_ports=() peer_ports=()
    for member in $(seq 0 $((members - 1))); do
        client_ports+=("$(free_port)")
        peer_ports+=("$(free_port)")
        initial+="$side-$member=http://127.0.0.1:${peer_ports[member]},"
        peers+="http://127.0.0.1:${client_ports[member]},"
    done
    echo "${peers%,}" >"$dir/$side.endpoints"
    for member in $(seq 0 $((members - 1))); do
        local client=http://127.0.0.1:${client_ports[member]} peer=http://127.0.0.1:${peer_ports[member]}
        cat >"$dir/$side-$member.start" <<END
$server --name $side-$member --data-dir $dir/$side/$member \\
    --listen-client-urls $client --advertise-client-urls $client \\
    --listen-peer-urls $peer --initial-advertise-peer-urls $peer \\
    --initial-cluster ${initial%,} --initial-cluster-token $side $extra >>$dir/$side-$member.log 2>&1 </dev/null &
echo \$! | tee $dir/$side-$member.pid
END
    done
}

start() {
    local side=$1 member
    for member in $(seq 0 $((members - 1))); do
        bash "$dir/$side-$member.start" >/dev/null
    done
    for _ in $(seq 60); do
        if "$almadia" put almadia-bench-ready yes --endpoints "$(cat "$dir/$side.endpoints")" --timeout 1s >/dev/null 2>&1
        then return; fi
        sleep 0.5
    done
    tail -n 5 "$dir/$side"-*.log >&2
    fail "$side did not start within 30 s"
}

pids() { cat "$dir/$1"-*.pid | paste -sd, -; }

describe() {
    echo "Machine: $(nproc) × $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), Linux $(uname -r)," \
        "data on $(stat -f -c %T "$dir"). $(date -u +%Y-%m-%d)."
    echo "$("$almadia" --version), $(head -n 1 <<<"$("$ETCD_BIN/etcd" --version)"), $members member(s) each," \
        "default settings, everything on this machine."
    echo "Command: \`almadia bench $*\`"
}

# --quota-backend-bytes: etcd refuses writes from 2 GiB on, which a benchmark of some minutes can reach.
make_room almadia
make_room etcd
prepare almadia "$almadia_server" ""
prepare etcd "$ETCD_BIN/etcd" "--log-level error --quota-backend-bytes 8589934592"
start almadia
start etcd

tables=$dir/tables.md
{
    describe "$@"
    echo
    "$almadia" bench "$@" \
        --endpoints "$(cat "$dir/almadia.endpoints")" --pids "$(pids almadia)" --name almadia $(device almadia --disk) \
        --versus "$(cat "$dir/etcd.endpoints")" --versus-pids "$(pids etcd)" --versus-name etcd $(device etcd --versus-disk)
    echo
    for side in almadia etcd; do
        echo "Files of all members, $side: $(du -sm "$dir/$side" | cut -f 1) MiB."
        [ -e "$dir/$side.device" ] || continue
        sync -f "$dir/$side"
        echo "Written to the disk of $side in all:" \
            "$(awk -v name="$(cat "$dir/$side.device")" '$3 == name { print int($10 / 2048) }' /proc/diskstats) MiB."
    done
    for side in almadia etcd; do
        [ "$failover_runs" -gt 0 ] || continue
        echo
        echo "Gap in writes after SIGKILL of the leader, $side:"
        echo
        "$almadia" bench failover --endpoints "$(cat "$dir/$side.endpoints")" --pids "$(pids "$side")" \
            --runs "$failover_runs" --restart "bash $dir/$side-\$ALMADIA_BENCH_MEMBER.start"
    done
} | tee "$tables"
[ -z "${OUT:-}" ] || cp "$tables" "$OUT"
