# A StatefulSet made of containers: on one network of its own, pod N is a container with the name almadia-N.almadia-peers in DNS, a
# volume that outlives it, and the arguments that the chart renders; the wished size is a file that all of them watch. Sourced,
# never run; needs a directory in `work`. Every container, volume and network carries the run's name.
# shellcheck shell=bash

source scripts/lib/tools.sh
source scripts/lib/engine.sh
source scripts/lib/images.sh

# The headless Service as pods of its namespace call it, and its whole name.
peers=almadia-peers
whole_domain=almadia-peers.test.svc.cluster.local
# How clients reach members; a row may change it.
scheme=http client_environment=()

# name_run NAME: what everything of this run is called.
name_run() {
    run=$1
    image=$run/server:test
    client_image=$run/client:test
}

fail() { echo "containers: FAILED: $*" >&2; exit 1; }
say() { printf '%4d s  %s\n' "$SECONDS" "$*"; }

# wait_for SECONDS WHAT COMMAND…: until the command succeeds; sets `waited` to the milliseconds it took.
wait_for() {
    local seconds=$1 what=$2 begin now
    shift 2
    begin=$(date +%s%3N)
    until "$@" >"$work/waited" 2>&1; do
        now=$(date +%s%3N)
        if [ $((now - begin)) -gt $((seconds * 1000)) ]; then
            tail -n 5 "$work/waited" >&2
            show_logs >&2
            fail "$what: not within $seconds s"
        fi
        sleep 0.1
    done
    waited=$(($(date +%s%3N) - begin))
}

# Makes both images of the program in `almadia`; a dynamic one gets its libraries along.
make_images() {
    import_base "$run/base:test"
    if is_static "$almadia"; then
        build_images "$almadia" "$run" test "$run/base:test" >/dev/null
        return 0
    fi
    say "$almadia is linked dynamically: its images carry its libraries and are not the product's"
    import_libraries "$almadia" "$run/libraries:test" "$run/base:test"
    build_images "$almadia" "$run" test "$run/libraries:test" "$run/libraries:test" >/dev/null
}

# knows FLAG: the program has it.
knows() { "$almadia" server --help >"$work/help" && grep -q -- "$1" "$work/help"; }

# chart_arguments GOLDEN: the server's arguments as the chart renders them for those values, with a size from a file.
chart_arguments() {
    local golden=deploy/chart/golden/$1.yaml
    local without=none
    if ! knows --enable-fault-injection; then without=--enable-fault-injection; fi
    python3 - "$golden" "$without" <<'PYTHON'
import sys
lines = open(sys.argv[1]).read().split("args:\n", 1)[1].split("env:\n", 1)[0].splitlines()
for line in lines:
    text = line.strip().removeprefix("- ")
    if not text or text == sys.argv[2]:
        continue
    if text.startswith("--wished-size="):
        text = "--wished-size=file:/etc/almadia/size/wished-size"
    print(text.replace("$(POD_NAMESPACE)", "test"))
PYTHON
}

# begin: finds the program, an engine, images, the network and a client; sets `arguments` for a size of three.
begin() {
    need_packages python3=python3 readelf=binutils
    almadia=${ALMADIA:-${CARGO_TARGET_DIR:-target}/release/almadia}
    [ -x "$almadia" ] || fail "$almadia is not a program"
    need_engine
    make_images
    docker network create --label "$run" "$run" >/dev/null
    mkdir "$work/pki"
    docker run --detach --name "$run-client" --volume "$work/pki:/pki:ro" --label "$run" --network "$run" --read-only --tmpfs /tmp --cap-drop ALL \
        --stop-signal SIGKILL "$client_image" sleep 36000 >/dev/null
    set_size 3
    mapfile -t arguments < <(chart_arguments lab)
}

# set_size COUNT: as the kubelet does it, by renaming a new file over the old one.
set_size() {
    mkdir -p "$work/size"
    echo "$1" >"$work/size/new"
    chmod 644 "$work/size/new"
    mv "$work/size/new" "$work/size/wished-size"
}

# pod_create N [docker's flags…]: the pod with its volume, under the name it always has.
pod_create() {
    local number=$1
    shift
    docker create --name "$run-$number" --hostname "almadia-$number" --label "$run" --restart on-failure \
        --network "$run" --network-alias "almadia-$number.almadia-peers" --network-alias "almadia-$number.$whole_domain" \
        --read-only --cap-drop ALL --security-opt no-new-privileges --user 10001:10001 \
        --volume "$run-$number:/var/lib/almadia" --volume "$work/size:/etc/almadia/size:ro" \
        --volume "$work/pki:/etc/almadia/tls/client:ro" --volume "$work/pki:/etc/almadia/tls/peer:ro" \
        --env "POD_NAME=almadia-$number" --env POD_NAMESPACE=test --env "ALMADIA_PEER_DOMAIN=$peers" --env ALMADIA_CLUSTER_SIZE=3 \
        "$@" "$image" "${arguments[@]}" >/dev/null
}

pod_start() { pod_create "$@" && docker start "$run-$1" >/dev/null; }

# pod_delete N: SIGTERM, at most 10 s, and the container is gone; the volume stays.
pod_delete() {
    docker stop --time 10 "$run-$1" >/dev/null
    docker rm "$run-$1" >/dev/null
}

wipe() { docker volume rm "$run-$1" >/dev/null; }

client() { docker exec "${client_environment[@]}" "$run-client" "$@"; }

# urls N…: their client addresses.
urls() {
    local list="" number
    for number in "$@"; do list+="${list:+,}$scheme://almadia-$number.$peers:2379"; done
    echo "$list"
}

# is_ready N: what the readiness probe asks.
is_ready() { client timeout 2 wget -q -O /dev/null "http://almadia-$1.$peers:2381/readyz"; }

# almadia_at "N…" COMMAND…: through these members.
almadia_at() {
    local members=$1
    shift
    # shellcheck disable=SC2086
    client almadia --endpoints "$(urls $members)" "$@"
}

# facts "N…" EXPRESSION: a Python expression over `members`, the list that `almadia status` gives of these; nothing for those that are down.
facts() {
    almadia_at "$1" --timeout 2s status -o json >"$work/status" 2>/dev/null || true
    python3 - "$2" "$work/status" <<'PYTHON'
import json, sys
try:
    members = json.load(open(sys.argv[2]))["members"]
except ValueError:
    members = []
members = [member for member in members if member.get("role")]
value = eval(sys.argv[1])
if value is False or value is None:
    sys.exit(1)
print(value)
PYTHON
}

# The ordinal of the leader that these members know.
leader_of() { facts "$1" 'next(int(m["name"].rsplit("-", 1)[1]) for m in members if m["leader"])' 2>/dev/null; }

# caught_up "N…": all answer, know one leader, have voted members' roles and have applied what is committed.
caught_up() {
    local count
    count=$(wc -w <<<"$1")
    facts "$1" "len(members) == $count and len({m['leader_id'] for m in members}) == 1 and all(m['role'] in ('leader', 'follower') for m in members) and max(m['committed'] for m in members) - min(m['applied'] for m in members) <= 2"
}

# check "N…": the client's check; its first write's index, term and leader.
check() {
    almadia_at "$1" check --lang es >"$work/check" || { cat "$work/check" >&2; return 1; }
    grep -q "TODAS LAS PRUEBAS COMPLETADAS" "$work/check"
    index=$(grep -m1 -o 'idx=[0-9]*' "$work/check" | cut -d= -f2)
    term=$(grep -m1 -o 'mandato=[0-9]*' "$work/check" | cut -d= -f2)
    leader=$(grep -m1 -o 'lider=[0-9]*' "$work/check" | cut -d= -f2)
}

# Whether as many voters are listed, by their names.
voters_are() {
    almadia_at "$1" members -o json >"$work/members" 2>/dev/null || return 1
    python3 - "$work/members" "$2" <<'PYTHON'
import json, sys
members = json.load(open(sys.argv[1]))["members"]
voters = sorted(member["name"] for member in members if not member["learner"])
sys.exit(voters != [f"almadia-{number}" for number in range(int(sys.argv[2]))] or len(voters) != len(members))
PYTHON
}

# load_start "N…": through each of these members, one write after the other until load_stop; those acknowledged are noted with the time.
load_start() {
    local number
    client sh -c 'rm -rf /tmp/load && mkdir /tmp/load'
    for number in $1; do
        docker exec --detach --env "ALMADIA_ENDPOINTS=$(urls "$number")" --env "through=$number" "$run-client" sh -c '
            number=0
            until [ -e /tmp/load/stop ]; do
                number=$((number + 1))
                if almadia --timeout 5s put "load/$through/$number" "$number" >/dev/null 2>&1; then
                    read -r now rest </proc/uptime
                    echo "$through/$number $now" >>"/tmp/load/acknowledged-$through"
                else
                    sleep 0.05
                fi
            done
            touch "/tmp/load/stopped-$through"'
    done
    for number in $1; do wait_for 20 "the first write of the load" client test -s "/tmp/load/acknowledged-$number"; done
}

# load_stop "N…": ends the load; every acknowledged write must be there. Says how many there were, and the longest time in which no
# write was acknowledged through any member.
load_stop() {
    local number
    client touch /tmp/load/stop
    for number in $1; do wait_for 20 "the end of the load" client test -e "/tmp/load/stopped-$number"; done
    client sh -c 'cat /tmp/load/acknowledged-*' >"$work/acknowledged"
    almadia_at "$1" get --prefix load/ -o json >"$work/kept"
    python3 - "$work/acknowledged" "$work/kept" <<'PYTHON' || fail "an acknowledged write is lost"
import json, sys
acknowledged = [line.split() for line in open(sys.argv[1])]
kept = {pair["key"]: pair["value"] for pair in json.load(open(sys.argv[2]))["kvs"]}
lost = [name for name, _ in acknowledged if kept.get(f"load/{name}") != name.rsplit("/", 1)[1]]
times = sorted(float(time) for _, time in acknowledged)
pause = max((later - sooner for sooner, later in zip(times, times[1:])), default=0)
print(f"        {len(acknowledged)} writes acknowledged, {len(lost)} lost, longest time without one {pause * 1000:.0f} ms")
sys.exit(bool(lost) or not acknowledged)
PYTHON
    almadia_at "$1" del --prefix load/ >/dev/null
}

show_logs() {
    local name
    for name in $(docker ps --all --filter "label=$run" --format '{{.Names}}'); do
        echo "--- $name: $(docker inspect --format '{{.State.Status}}, exit code {{.State.ExitCode}}' "$name")"
        docker logs --tail 8 "$name" 2>&1
    done
}

clean_up() {
    local code=$?
    trap - EXIT INT TERM
    set +e
    if docker version >/dev/null 2>&1; then
        docker ps --all --quiet --filter "label=$run" | xargs --no-run-if-empty docker rm --force --volumes >/dev/null
        docker volume ls --quiet --filter "name=^$run-" | xargs --no-run-if-empty docker volume rm >/dev/null
        docker network rm "$run" >/dev/null 2>&1
        local image
        for image in server client libraries base; do docker image rm --force "$run/$image:test" >/dev/null 2>&1; done
    fi
    stop_engine
    rm -rf "$work"
    exit "$code"
}
