# Makes the images from a program. Sourced, never run; `docker` must answer.
# shellcheck shell=bash

# is_static PROGRAM: it needs no loader and no library.
is_static() { ! readelf -l "$1" | grep -q INTERP && ! readelf -d "$1" | grep -q NEEDED; }

# build_images PROGRAM PREFIX TAG BASE [SERVER-BASE]: PREFIX/server:TAG, in an empty image, and PREFIX/client:TAG on BASE.
build_images() {
    local program=$1 prefix=$2 tag=$3 base=$4 context
    context=$(mktemp -d)
    cp "$program" "$context/almadia"
    chmod 755 "$context/almadia"
    mkdir "$context/data"
    # The plain builder is enough, and everywhere.
    DOCKER_BUILDKIT=0 docker build --quiet -f deploy/images/server.Dockerfile --build-arg "BASE=${5:-scratch}" -t "$prefix/server:$tag" "$context" 2>"$context/log" &&
        DOCKER_BUILDKIT=0 docker build --quiet -f deploy/images/client.Dockerfile --build-arg "BASE=$base" -t "$prefix/client:$tag" "$context" 2>>"$context/log" ||
        { cat "$context/log" >&2; rm -rf "$context"; return 1; }
    rm -rf "$context"
}
