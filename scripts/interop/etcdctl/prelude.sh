# What the lines of a case may use besides etcdctl itself, jq and protoc. Sourced before every case.
# shellcheck shell=bash disable=SC2034
#
# Variables: M0 M1 M2 (client URLs; m0 leads), ENDPOINTS (all of them), CLUSTER (--initial-cluster), SPARE_CLIENT and SPARE_PEER
# (URLs for a member to add), SECOND_CLIENT and SECOND_PEER (for a second cluster), CASE (a directory of the case's own).

# etcdctl asks the first member; `at URLS …` asks others. (The variable and the flag together are an error for etcdctl.)
etcdctl() {
    case " $* " in
        *" --endpoints "* | *" --endpoints="*) command etcdctl "$@" ;;
        *) ETCDCTL_ENDPOINTS=$M0 command etcdctl "$@" ;;
    esac
}
at() { local endpoints=$1; shift; command etcdctl --endpoints "$endpoints" "$@"; }

# The store's revision.
revision() { etcdctl get revision -w json ${login:+--user "$login"} 2>/dev/null | jq .header.revision; }

# The ids, in hexadecimal, of the member of that name, and of a new lease.
member_id() { etcdctl member list 2>/dev/null | awk -F', ' -v name="$1" '$3 == name { print $1 }'; }
new_lease() { etcdctl lease grant "${1:-600}" 2>/dev/null | awk '{ print $2 }'; }

# begin NAME COMMAND…: runs it beside the case. await NAME TEXT: until its output has TEXT (10 s). finish NAME: Ctrl-C, then
# what it printed. show NAME: what it printed, once it ended by itself (10 s).
begin() {
    local name=$1
    shift
    if [ "$1" = etcdctl ]; then
        shift
        case " $* " in
            *" --endpoints "*) set -- etcdctl "$@" ;;
            *) set -- etcdctl --endpoints "$M0" "$@" ;;
        esac
    fi
    # A background job of a script ignores the interrupt signal unless that is undone.
    (trap - INT; exec python3 -c '
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])' "$@") >"$CASE/$name.out" 2>&1 &
    echo $! >"$CASE/$name.pid"
}
await() {
    local tries
    for ((tries = 0; tries < 200; tries++)); do
        grep -qsF -- "$2" "$CASE/$1.out" && return 0
        sleep 0.05
    done
    echo "no \"$2\" in what $1 printed"
    return 1
}
ended_by_itself() {
    timeout "$2" tail --pid="$(cat "$CASE/$1.pid")" -s 0.05 -f /dev/null
}
finish() {
    kill -INT "$(cat "$CASE/$1.pid")" 2>/dev/null
    show "$1"
}
show() {
    ended_by_itself "$1" 10 || { echo "[$1 did not end]"; kill -KILL "$(cat "$CASE/$1.pid")"; }
    { wait "$(cat "$CASE/$1.pid")"; } 2>/dev/null
    local code=$?
    cat "$CASE/$1.out"
    return $code
}

# serve NAME CLIENT_URL PEER_URL CLUSTER STATE: one more member; ended with the case.
serve() {
    # shellcheck disable=SC2086
    $SERVER --name "$1" --data-dir "$CASE/$1" --listen-client-urls "$2" --advertise-client-urls "$2" --listen-peer-urls "$3" \
        --initial-advertise-peer-urls "$3" --initial-cluster "$4" --initial-cluster-state "$5" \
        --initial-cluster-token "${6:-$(basename "$(dirname "$CASE")")}" >"$CASE/server-$1.log" 2>&1 &
    echo $! >"$CASE/$1.pid"
}
ready() {
    local tries
    for ((tries = 0; tries < 150; tries++)); do
        command etcdctl --endpoints "$1" --command-timeout 1s get ready >/dev/null 2>&1 && return 0
        sleep 0.1
    done
    echo "$1 does not answer"
    return 1
}

# Until the cluster takes member changes: etcd wants every member to have been connected for some seconds.
settled() {
    local taken
    taken=$(etcdctl member list 2>/dev/null | awk -F', ' '$3 == "m0" { print $4 }')
    until_true sh -c "etcdctl --endpoints $M0 member add settled --peer-urls $taken 2>&1 | grep 'already exists'"
}

# until_true COMMAND…: tries it for 20 s.
until_true() {
    local tries
    for ((tries = 0; tries < 100; tries++)); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.2
    done
    echo "never true: $*"
    return 1
}

ended() { if [ "$1" != 0 ]; then echo "[exit $1]"; fi; }

clean_case() {
    local file
    for file in "$CASE"/*.pid; do
        if [ -e "$file" ]; then kill -KILL "$(cat "$file")" 2>/dev/null; fi
    done
    return 0
}

# For between cases.
forget_leases() { for each in $(etcdctl lease list 2>/dev/null | tail -n +2); do etcdctl lease revoke "$each"; done; }
forget_users() {
    etcdctl --user root:root auth disable
    for each in $(etcdctl user list); do etcdctl user delete "$each"; done
    for each in $(etcdctl role list); do etcdctl role delete "$each"; done
}
