# A Docker engine for tests: the one that answers, or Debian's, started here with a data directory of its own and ended with the
# script. Sourced, never run; needs tools.sh and a directory in `work`. Nothing is pulled and nothing runs privileged.
# shellcheck shell=bash

engine_pid=""

# Makes `docker` answer.
need_engine() {
    need_packages docker=docker.io
    if docker version >/dev/null 2>&1; then return 0; fi
    need_packages dockerd=docker.io containerd=containerd runc=runc iptables=iptables
    [ "$(id -u)" = 0 ] || unavailable "no Docker engine answers, and only root can start one"
    export DOCKER_HOST=unix://$work/docker.sock
    dockerd --data-root "$work/engine" --exec-root "$work/exec" --pidfile "$work/docker.pid" -H "$DOCKER_HOST" >"$work/dockerd.log" 2>&1 &
    engine_pid=$!
    local deadline=$((SECONDS + 60))
    until docker version >/dev/null 2>&1; do
        if [ $SECONDS -ge $deadline ] || ! kill -0 "$engine_pid" 2>/dev/null; then
            tail -n 5 "$work/dockerd.log" >&2
            unavailable "a Docker engine cannot be started here"
        fi
        sleep 0.2
    done
}

# Ends the engine that was started here, by its id.
stop_engine() {
    if [ -z "$engine_pid" ]; then return 0; fi
    kill "$engine_pid" 2>/dev/null || true
    timeout 30 tail --pid="$engine_pid" -f /dev/null || kill -KILL "$engine_pid" 2>/dev/null || true
    wait "$engine_pid" 2>/dev/null || true
    engine_pid=""
}

# import_base NAME: an image with a shell, made of Debian's static busybox: for machines that can pull none.
import_base() {
    local root=$work/base applet
    need_packages /usr/share/doc/busybox-static=busybox-static
    mkdir -p "$root/bin" "$root/tmp"
    chmod 1777 "$root/tmp"
    cp /bin/busybox "$root/bin/busybox"
    for applet in $("$root/bin/busybox" --list); do
        if [ "$applet" != busybox ]; then ln -s busybox "$root/bin/$applet"; fi
    done
    tar -C "$root" -c . | docker import - "$1" >/dev/null
    rm -rf "$root"
}

# import_libraries PROGRAM NAME: an image with the loader and libraries that a dynamic PROGRAM of this machine needs, on the busybox
# base; instead of an empty image where no static program is at hand.
import_libraries() {
    local root=$work/libraries file
    mkdir -p "$root"
    for file in $(ldd "$1" | grep -o '/[^ ]*'); do
        install -D "$(realpath "$file")" "$root$file"
    done
    tar -C "$root" -c . >"$work/libraries.tar"
    printf 'FROM %s\nADD libraries.tar /\n' "$3" | {
        mkdir -p "$work/context" && mv "$work/libraries.tar" "$work/context/" && cat >"$work/context/Dockerfile"
    }
    DOCKER_BUILDKIT=0 docker build --quiet -t "$2" "$work/context" >/dev/null 2>&1
    rm -rf "$root" "$work/context"
}
