#!/usr/bin/env bash
# Highly available PostgreSQL on a store of three members: three instances under Patroni, which talks to the store by the JSON
# gateway. Under load: the primary is killed and comes back, the roles are switched, the store's leader is killed, the store is
# stopped and goes on. Prints how long each took, and how many of the acknowledged rows are missing.
# The bar: none is missing, nothing takes longer than its bound below, and PostgreSQL notices nothing of a killed store leader.
#
#   scripts/interop/patroni.sh            see lib.sh for SERVER, ALMADIA, …
#   SECURE=1 scripts/interop/patroni.sh   the same with TLS, client certificates, and a user who may touch Patroni's keys only
set -euo pipefail
# shellcheck source=scripts/interop/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/interop/patroni/instances.sh
. "$checkout/scripts/interop/patroni/instances.sh"
# shellcheck source=scripts/interop/certs.sh
. "$checkout/scripts/interop/certs.sh"

patroni_version=4.1.5
packages=("patroni[etcd3]==$patroni_version" psycopg==3.3.9 psycopg-binary==3.3.9)
sql_password=interop-sql
patroni_password=interop-store
root_password=interop-root
variant=""
if [ "${SECURE:-0}" = 1 ]; then variant=" with TLS and users"; fi
export PIP_DISABLE_PIP_VERSION_CHECK=1

# The longest that each step may take, in ms: Patroni's ttl is 20 s, its loop 5 s, its retries 5 s.
declare -A bounds=([start]=60000 [failover]=35000 [rejoin]=45000 [switchover]=25000 [demoted]=20000 [back]=25000 [pause]=5000)
declare -A took=()
trouble=0

need curl curl
need setpriv util-linux
need /usr/lib/postgresql postgresql
# Debian's own: the unprivileged user can run it, wherever the caller's python3 comes from.
need /usr/bin/python3 python3
/usr/bin/python3 -c 'import venv, ensurepip' 2>/dev/null || need /nonexistent python3-venv
find_programs
pg_bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin | sort -V | tail -n 1)
[ -x "$pg_bin/postgres" ] || unavailable "no PostgreSQL below /usr/lib/postgresql"
install_patroni() { /usr/bin/python3 -m venv "$work/venv" && "$work/venv/bin/pip" install --quiet "${packages[@]}"; }
install_patroni >"$work/pip.log" 2>&1 || { tail -n 5 "$work/pip.log" >&2; unavailable "the Python packages cannot be installed"; }
say "$("$pg_bin/postgres" --version); Patroni $patroni_version; $("$work/venv/bin/python" --version)"

# Patroni's user may touch its cluster's keys, and nothing else. From here on etcdctl is root.
restrict_store() {
    local first=("etcdctl" "--endpoints" "${client_urls[0]}")
    {
        "${first[@]}" user add root --new-user-password="$root_password" && "${first[@]}" user grant-role root root &&
            "${first[@]}" role add patroni && "${first[@]}" role grant-permission patroni readwrite --prefix /service/interop/ &&
            "${first[@]}" user add patroni --new-user-password="$patroni_password" &&
            "${first[@]}" user grant-role patroni patroni && "${first[@]}" auth enable
    } >"$work/auth.log" 2>&1 || { cat "$work/auth.log" >&2; fail "access control cannot be turned on"; }
    export ETCDCTL_USER=root:$root_password
    if etcdctl --endpoints "${client_urls[1]}" --user "patroni:$patroni_password" put elsewhere no >"$work/auth.log" 2>&1; then
        fail "patroni's user may write anywhere"
    fi
    # Its certificate's key must be its own.
    if [ "$(id -u)" = 0 ]; then chown postgres: "$certs/patroni.key"; fi
}

now_ms() { date +%s%3N; }

# step NAME CONDITION…: waits until the condition holds, and notes how long that took since `begun`.
step() {
    local name=$1
    shift
    until "$@"; do
        if [ $(($(now_ms) - begun)) -gt "${bounds[$name]}" ]; then show_logs; fail "$name: not within ${bounds[$name]} ms: $*"; fi
        sleep 0.1
    done
    took[$name]=$(($(now_ms) - begun))
    say "$name: ${took[$name]} ms"
}

show_logs() {
    local log
    for log in "$work"/*.patroni.log "$work"/m*.log; do
        echo "--- $log" >&2
        tail -n 25 "$log" >&2
    done
}

# In front of a command: what reaches the primary, whichever it is. Not exported: PostgreSQL itself would read PGPORT.
name_databases() {
    by_libpq=(env PGHOST=127.0.0.1,127.0.0.1,127.0.0.1 PGPORT="$(IFS=,; echo "${sql_ports[*]}")" PGUSER=postgres
        PGPASSWORD="$sql_password" PGDATABASE=postgres PGTARGETSESSIONATTRS=read-write)
    rows=("${by_libpq[@]}" "$work/venv/bin/python" "$checkout/scripts/interop/patroni/rows.py")
}

# All rows that were acknowledged so far must be there.
check_rows() {
    local acknowledged missing
    read -r acknowledged missing <<<"$("${rows[@]}" missing "$work/rows.txt")"
    say "after $1: $acknowledged rows acknowledged, $missing of them missing"
    if [ "${acknowledged:-0}" -lt 100 ] || [ "$missing" -ne 0 ]; then trouble=1; fi
}

store_leader() {
    etcdctl --endpoints "$(IFS=,; echo "${client_urls[*]}")" endpoint status -w json 2>/dev/null | python3 -c '
import json, sys
for number, each in enumerate(json.load(sys.stdin)):
    if each["Status"]["leader"] == each["Status"]["header"]["member_id"]:
        print(each["Endpoint"])'
}

member_of() {
    local number
    for number in "${!client_urls[@]}"; do
        if [ "${client_urls[number]}" = "$1" ]; then echo "$number"; fi
    done
}

finish() {
    if [ -n "${load_pid:-}" ]; then kill "$load_pid" 2>/dev/null || true; fi
    for name in "${!member_pids[@]}"; do kill -CONT "${member_pids[$name]}" 2>/dev/null || true; done
    stop_instances
    clean_up
}
trap finish EXIT

tls_settings=()
if [ -n "$variant" ]; then make_certificates admin patroni; fi
start_cluster 3 m "${tls_settings[@]}"
make_homes
if [ -n "$variant" ]; then restrict_store; fi
read -r -a ports <<<"$(free_ports 6)"
sql_ports=("${ports[@]:0:3}") rest_ports=("${ports[@]:3:3}")
name_databases
for number in 0 1 2; do write_settings "$number"; done

begun=$(now_ms)
for number in 0 1 2; do start_instance "$number"; done
step start all_healthy
"${by_libpq[@]}" "$pg_bin/psql" --quiet -c 'CREATE TABLE rows (number bigint PRIMARY KEY, said text)'
"${rows[@]}" write "$work/rows.txt" 2>"$work/rows.log" &
load_pid=$!
enough_rows() { [ "$(wc -l <"$work/rows.txt")" -ge 1000 ]; }
begun=$(now_ms)
bounds[rows]=60000
step rows enough_rows

killed=$(primary)
begun=$(now_ms)
kill_instance "$killed"
step failover primary_other_than "$killed"
check_rows "kill -9 of the primary"
begun=$(now_ms)
start_instance "${killed#pg}"
step rejoin all_healthy

before=$(primary)
begun=$(now_ms)
"$work/venv/bin/patronictl" -c "$work/pg/pg0.yml" switchover interop --leader "$before" --force >"$work/switchover.log" 2>&1 ||
    { cat "$work/switchover.log"; fail "switchover refused"; }
step switchover primary_other_than "$before"
begun=$(now_ms)
bounds[followed]=45000
step followed all_healthy
check_rows "a switchover"

# The store loses its leader: PostgreSQL must not notice. Patroni gets a whole ttl to do something wrong.
before=$(primary)
timeline_before=$(timeline "$before")
gone=$(member_of "$(store_leader)")
begun=$(now_ms)
say "store leader m$gone: kill -9"
kill -KILL "${member_pids[m$gone]}"
wait "${member_pids[m$gone]}" 2>/dev/null || true
while [ $(($(now_ms) - begun)) -lt 21000 ]; do
    is_primary "$before" || { trouble=1; say "FAILED: $before is no longer primary"; break; }
    sleep 0.2
done
took[pause]=$("${rows[@]}" pause "$work/rows.txt" "$begun" "$(now_ms)")
say "longest time without an acknowledged row: ${took[pause]} ms"
[ "${took[pause]}" -le "${bounds[pause]}" ] || { trouble=1; say "FAILED: more than ${bounds[pause]} ms"; }
[ "$(timeline "$before")" = "$timeline_before" ] || { trouble=1; say "FAILED: another timeline than $timeline_before"; }
start_member "$gone" existing
wait_ready "${client_urls[$gone]}"
check_rows "kill -9 of the store's leader"

begun=$(now_ms)
for name in "${member_names[@]}"; do kill -STOP "${member_pids[$name]}"; done
step demoted no_primary
begun=$(now_ms)
for name in "${member_names[@]}"; do kill -CONT "${member_pids[$name]}"; done
is_some_primary() { [ -n "$(primary)" ]; }
step back is_some_primary
begun=$(now_ms)
bounds[after]=45000
step after all_healthy
kill "$load_pid"
wait "$load_pid" 2>/dev/null || true
load_pid=""
check_rows "a stopped store"

[ "$trouble" -eq 0 ] || show_logs
seconds() { awk "BEGIN { printf \"%.1f\", ${took[$1]} / 1000 }"; }
echo "patroni $patroni_version against $server${variant}: start $(seconds start) s, failover $(seconds failover) s, \
rejoin $(seconds rejoin) s, switchover $(seconds switchover) s, store leader killed: $(seconds pause) s without rows, \
store stopped: demoted after $(seconds demoted) s, back after $(seconds back) s; $SECONDS s in all"
[ "$trouble" -eq 0 ]
