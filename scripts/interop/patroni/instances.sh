# PostgreSQL instances under Patroni: their settings, start and end, and questions to them. Sourced by patroni.sh after lib.sh.
# shellcheck shell=bash disable=SC2154

instance_names=(pg0 pg1 pg2)
sql_ports=()
rest_ports=()
declare -A patroni_pids=()

# PostgreSQL refuses to run as root: then what belongs to it runs as the user that Debian's package makes. In front of a command
# (not a function: the process id in the background must be the command's own).
unprivileged=()
if [ "$(id -u)" = 0 ]; then unprivileged=(setpriv --reuid postgres --regid postgres --clear-groups); fi

# The databases' directory must be theirs, and they must be able to walk to it.
make_homes() {
    chmod 711 "$work"
    mkdir -p "$work/pg"
    if [ "$(id -u)" = 0 ]; then chown postgres: "$work/pg"; fi
}

# Patroni's settings for the store: where it is, and with SECURE=1 how to know it and who asks.
store_settings() {
    local hosts=("${client_urls[@]#*://}")
    printf '  hosts: [%s]\n' "$(IFS=,; echo "${hosts[*]}")"
    if [ "$scheme" = https ]; then
        printf '  protocol: https\n  cacert: %s\n  cert: %s\n  key: %s\n' "$certs/ca.crt" "$certs/patroni.crt" "$certs/patroni.key"
        printf '  username: patroni\n  password: %s\n' "$patroni_password"
    fi
}

# Patroni's shortest ttl is 20 s. Rows that were acknowledged may only be lost where replication does not wait: synchronous_mode.
write_settings() {
    local number=$1
    local name=${instance_names[number]}
    cat >"$work/pg/$name.yml" <<SETTINGS
scope: interop
name: $name
log: {level: INFO, traceback_level: ERROR}
restapi:
  listen: 127.0.0.1:${rest_ports[number]}
  connect_address: 127.0.0.1:${rest_ports[number]}
etcd3:
$(store_settings)
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 5
    retry_timeout: 5
    synchronous_mode: true
    postgresql:
      use_pg_rewind: true
      parameters: {max_connections: 40, shared_buffers: 16MB, wal_keep_size: 64MB}
  initdb: [{encoding: UTF8}, {locale: C}, data-checksums]
postgresql:
  listen: 127.0.0.1:${sql_ports[number]}
  connect_address: 127.0.0.1:${sql_ports[number]}
  data_dir: $work/pg/$name
  bin_dir: $pg_bin
  pgpass: $work/pg/$name.pgpass
  parameters: {unix_socket_directories: $work/pg}
  pg_hba: ["host all all 127.0.0.1/32 scram-sha-256", "host replication replicator 127.0.0.1/32 scram-sha-256"]
  authentication:
    superuser: {username: postgres, password: $sql_password}
    replication: {username: replicator, password: replicator-$sql_password}
    rewind: {username: rewinder, password: rewinder-$sql_password}
SETTINGS
}

start_instance() {
    local name=${instance_names[$1]}
    "${unprivileged[@]}" "$work/venv/bin/patroni" "$work/pg/$name.yml" >>"$work/$name.patroni.log" 2>&1 &
    patroni_pids[$name]=$!
}

# The process id of an instance's PostgreSQL, if that one runs and is ours.
postmaster() {
    local pid
    pid=$(head -n 1 "$work/pg/$1/postmaster.pid" 2>/dev/null) || return 0
    if [ "$(readlink "/proc/$pid/cwd" 2>/dev/null)" = "$work/pg/$1" ]; then echo "$pid"; fi
}

# As if its machine had lost power: Patroni first, so that it cannot start the other again.
kill_instance() {
    local pid
    kill -KILL "${patroni_pids[$1]}"
    pid=$(postmaster "$1")
    if [ -n "$pid" ]; then kill -KILL "$pid"; fi
    wait "${patroni_pids[$1]}" 2>/dev/null || true
    unset "patroni_pids[$1]"
}

# Ends all by their ids. The store may be gone by then: what does not end in time is killed.
stop_instances() {
    local name pid
    for name in "${!patroni_pids[@]}"; do kill "${patroni_pids[$name]}" 2>/dev/null || true; done
    for name in "${!patroni_pids[@]}"; do
        timeout 15 tail --pid="${patroni_pids[$name]}" -f /dev/null || kill -KILL "${patroni_pids[$name]}" 2>/dev/null || true
        wait "${patroni_pids[$name]}" 2>/dev/null || true
    done
    for name in "${instance_names[@]}"; do
        pid=$(postmaster "$name")
        if [ -n "$pid" ]; then kill -KILL "$pid" 2>/dev/null || true; fi
    done
    patroni_pids=()
}

# answers NAME PATH: whether that instance's Patroni says 200.
answers() {
    local number=${1#pg}
    curl --silent --fail --max-time 2 --output /dev/null "http://127.0.0.1:${rest_ports[number]}/$2"
}

# The one instance that Patroni calls primary; nothing when there is none.
primary() {
    local name
    for name in "${instance_names[@]}"; do
        if answers "$name" primary; then echo "$name"; return; fi
    done
}

timeline() {
    curl --silent --max-time 2 "http://127.0.0.1:${rest_ports[${1#pg}]}/patroni" | python3 -c 'import json, sys; print(json.load(sys.stdin)["timeline"])'
}

# Conditions for `until_true`.
no_primary() { [ -z "$(primary)" ]; }
primary_other_than() { local now; now=$(primary); [ -n "$now" ] && [ "$now" != "$1" ]; }
is_primary() { answers "$1" primary; }
# What follows streams, and one of those waits for each row.
all_healthy() {
    local name standbys=0 waiting=0
    for name in "${instance_names[@]}"; do
        if answers "$name" primary; then continue; fi
        answers "$name" 'replica?lag=1MB&replication_state=streaming' || return 1
        standbys=$((standbys + 1))
        if answers "$name" synchronous; then waiting=$((waiting + 1)); fi
    done
    [ "$standbys" -eq 2 ] && [ "$waiting" -ge 1 ]
}
