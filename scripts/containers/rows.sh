# The rows: each begins and ends with three healthy members, 0 to 2, and says what it has measured. Sourced, never run.
# shellcheck shell=bash

all="0 1 2"

# others N: all but this one.
others() { local list=" $all "; xargs <<<"${list/ $1 / }"; }

# Founded in whatever order the pods start; the names of pods that are not there yet do not resolve.
row_any_order() {
    pod_start 2
    pod_start 0
    if almadia_at "0 2" --timeout 1s put early x >/dev/null 2>&1; then fail "two of three empty members have founded a cluster"; fi
    pod_start 1
    wait_for 30 "a cluster of three" caught_up "$all"
    say "a cluster $waited ms after the third member was started"
    check "$all" || fail "the client's check"
}

# M6: the leader's pod is killed; the check through the others: another leader, a higher term, the index goes on.
row_leader_killed() {
    check "$all" || fail "the client's check before"
    local killed=$leader old_term=$term old_index=$index
    docker kill "$run-$killed" >/dev/null
    check "$(others "$killed")" || fail "the client's check on the majority left"
    [ "$leader" != "$killed" ] || fail "the killed member $killed still leads"
    [ "$term" -gt "$old_term" ] || fail "term $term after $old_term"
    [ "$index" -gt "$old_index" ] || fail "index $index after $old_index"
    docker start "$run-$killed" >/dev/null
    wait_for 30 "member $killed back" caught_up "$all"
    say "leader $killed killed: term $old_term to $term, index $old_index to $index; back and caught up $waited ms after its start"
}

# A member that is frozen, then one that is cut off from the network; both go on by themselves.
row_paused_and_cut() {
    local frozen cut
    frozen=$(leader_of "$all")
    docker pause "$run-$frozen" >/dev/null
    wait_for 5 "writes without the frozen leader" almadia_at "$(others "$frozen")" --timeout 1s put frozen "$frozen"
    say "leader $frozen frozen: a write on the others after $waited ms"
    docker unpause "$run-$frozen" >/dev/null
    wait_for 30 "the frozen member back" caught_up "$all"
    cut=$(leader_of "$all")
    docker network disconnect "$run" "$run-$cut"
    wait_for 5 "writes without the member cut off" almadia_at "$(others "$cut")" --timeout 1s put cut "$cut"
    say "leader $cut cut off: a write on the others after $waited ms"
    docker network connect --alias "almadia-$cut.$peers" "$run" "$run-$cut"
    wait_for 30 "the member cut off back" caught_up "$all"
}

# M1.10: the pod comes back with another address under its name.
row_other_address() {
    local member address
    member=$(leader_of "$all")
    address=$(docker inspect --format "{{(index .NetworkSettings.Networks \"$run\").IPAddress}}" "$run-$member")
    pod_delete "$member"
    # Whatever way addresses are given out, by the next or the lowest free one: the old one does not come back.
    docker run --detach --name "$run-squatter" --label "$run" --network "$run" --stop-signal SIGKILL "$client_image" sleep 3600 >/dev/null
    pod_start "$member"
    [ "$(docker inspect --format "{{(index .NetworkSettings.Networks \"$run\").IPAddress}}" "$run-$member")" != "$address" ] || fail "the engine gave the same address again"
    wait_for 30 "member $member with another address" caught_up "$all"
    say "member $member has another address than $address: caught up $waited ms after its start"
    docker rm --force "$run-squatter" >/dev/null
}

# Every process killed at the same time: what was acknowledged is there, and no number goes back.
row_all_killed() {
    check "$all" || fail "the client's check before"
    local old_term=$term old_index=$index
    almadia_at "$all" put kept "before the end" >/dev/null
    docker kill "$run-0" "$run-1" "$run-2" >/dev/null
    docker start "$run-0" "$run-2" >/dev/null
    wait_for 30 "a leader of two" almadia_at "0 2" --timeout 1s put after x
    say "all killed, two started: a write after $waited ms"
    [ "$(almadia_at "0 2" get kept)" = "before the end" ] || fail "an acknowledged write is lost"
    docker start "$run-1" >/dev/null
    wait_for 30 "all three" caught_up "$all"
    check "$all" || fail "the client's check after"
    [ "$term" -ge "$old_term" ] && [ "$index" -gt "$old_index" ] || fail "term $old_term, index $old_index; now $term, $index"
}

# M5.3: SIGTERM to a leader.
row_graceful_stop() {
    local member begin took
    member=$(leader_of "$all")
    begin=$(date +%s%3N)
    docker stop --time 10 "$run-$member" >/dev/null
    took=$(($(date +%s%3N) - begin))
    [ "$(docker inspect --format '{{.State.ExitCode}}' "$run-$member")" = 0 ] || fail "exit code of a stopped leader: $(docker inspect --format '{{.State.ExitCode}}' "$run-$member")"
    almadia_at "$(others "$member")" --timeout 2s put stopped x >/dev/null || fail "no write after a leader was stopped"
    docker start "$run-$member" >/dev/null
    wait_for 30 "the stopped member back" caught_up "$all"
    say "leader $member stopped in $took ms with exit code 0"
}

# A lost disk heals unattended: the pod comes back empty and is a voter again.
row_lost_disk() {
    local member
    member=$(leader_of "$all")
    pod_delete "$member"
    wipe "$member"
    pod_start "$member"
    wait_for 30 "member $member with an empty disk" caught_up "$all"
    local healed=$waited
    wait_for 5 "three voters" voters_are "$all" 3
    say "member $member lost its disk: a voter again $healed ms after its start, nothing typed"
    check "$all" || fail "the client's check"
}

# An empty member under an old name while the majority is lost waits: it never founds a second cluster, nor gives the others a vote.
row_no_quorum_no_founding() {
    pod_delete 1
    pod_delete 2
    wipe 2
    pod_start 2
    # Long enough for a founding, which takes a second or two.
    if almadia_at "0 2" --timeout 8s put lost x >/dev/null 2>&1; then fail "one member with its disk and an empty one made a majority"; fi
    [ "$(docker inspect --format '{{.State.Running}}' "$run-2")" = true ] || fail "the empty member has ended instead of waiting"
    pod_start 1
    wait_for 30 "the cluster whole again" caught_up "$all"
    wait_for 5 "three voters" voters_are "$all" 3
    say "one with its disk and one empty waited; whole $waited ms after the third came back"
}

# M5.6: 3, 5, 3 by the wished size alone, under load; the first three are never restarted.
row_scale() {
    local before number
    before=$(docker inspect --format '{{.State.StartedAt}}' "$run-0" "$run-1" "$run-2")
    load_start "$all"
    set_size 5
    pod_start 3
    pod_start 4
    wait_for 60 "five voters" voters_are "$all" 5
    say "3 to 5: five voters after $waited ms"
    set_size 3
    wait_for 60 "three voters" voters_are "$all" 3
    say "5 to 3: three voters after $waited ms, before a pod was stopped"
    for number in 4 3; do
        docker stop --time 10 "$run-$number" >/dev/null
        docker rm "$run-$number" >/dev/null
        wipe "$number"
    done
    load_stop "$all"
    [ "$before" = "$(docker inspect --format '{{.State.StartedAt}}' "$run-0" "$run-1" "$run-2")" ] || fail "a member was restarted by the change of size"
    wait_for 10 "three healthy members" caught_up "$all"
}

# A rolling update from the highest ordinal: each is deleted and made anew when the one before it is ready.
row_roll() {
    local number
    load_start "$all"
    for number in 2 1 0; do
        pod_delete "$number"
        pod_start "$number"
        wait_for 30 "member $number ready" is_ready "$number"
        wait_for 30 "member $number caught up" caught_up "$all"
    done
    load_stop "$all"
    check "$all" || fail "the client's check"
}

# M2 (c): the acceptance suite from a container, all seven tests.
row_acceptance() {
    almadia_at "$all" --timeout 10s verify --lang es >"$work/verify" 2>&1 || { cat "$work/verify" >&2; fail "the acceptance suite"; }
    [ "$(tail -n 1 "$work/verify")" = PASS ] || { cat "$work/verify" >&2; fail "the acceptance suite does not end with PASS"; }
    [ "$(grep -c 'Superado$' "$work/verify")" = 7 ] || { cat "$work/verify" >&2; fail "not all seven tests have passed"; }
    wait_for 30 "three healthy members" caught_up "$all"
}

# Another cluster, from empty volumes, with certificates for clients and members where the chart mounts their Secrets.
row_tls() {
    local number kept=("${arguments[@]}")
    for number in $all; do
        pod_delete "$number"
        wipe "$number"
    done
    make_certificates
    mapfile -t arguments < <(chart_arguments tls)
    peers=$whole_domain scheme=https
    client_environment=(--env ETCDCTL_CACERT=/pki/ca.crt --env ETCDCTL_CERT=/pki/user.crt --env ETCDCTL_KEY=/pki/user.key)
    for number in $all; do pod_start "$number"; done
    wait_for 30 "a cluster with certificates" caught_up "$all"
    check "$all" || fail "the client's check with a certificate"
    client_environment=(--env ETCDCTL_CACERT=/pki/ca.crt)
    if almadia_at "$all" --timeout 2s put without certificate >/dev/null 2>&1; then fail "a client without a certificate was served"; fi
    client_environment=()
    scheme=http
    if almadia_at "$all" --timeout 2s put without tls >/dev/null 2>&1; then fail "a client without TLS was served"; fi
    say "members and clients with certificates; without one, nobody is served"
    for number in $all; do
        pod_delete "$number"
        wipe "$number"
    done
    peers=almadia-peers arguments=("${kept[@]}")
    for number in $all; do pod_start "$number"; done
    wait_for 30 "a cluster without certificates again" caught_up "$all"
}

# make_certificates: an authority, and what the Secrets of the chart hold: tls.crt and tls.key for both sides.
make_certificates() {
    local pki=$work/pki
    rm -rf "${pki:?}"/*
    "$almadia" cert ca --dir "$pki"
    # Names one by one: for a wildcard, a member looks up the name of the address that comes in, and an engine gives that as its own.
    "$almadia" cert peer --dir "$pki" --file tls --host "almadia-0.$whole_domain,almadia-1.$whole_domain,almadia-2.$whole_domain"
    "$almadia" cert client --dir "$pki" --name user --file user
    chmod 644 "$pki"/*.key
} >/dev/null
