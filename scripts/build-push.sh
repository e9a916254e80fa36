#!/usr/bin/env bash
# Builds the images of server and client and pushes them. Running it again does the same again.
#
#   REGISTRY=localhost:5001   where to, without a path
#   TAG=0.1.0                 default: the version in Cargo.toml
#   BINARY=FILE               a static program that is there already (scripts/build-musl.sh makes one); default: built in a
#                             container from these sources, so that the host needs no Rust
#   BASE=alpine:3.22          what the client's image is built on: any image with a shell
#   PUSH=0                    build only
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib/tools.sh
source scripts/lib/images.sh
fail() { echo "build-push: $*" >&2; exit 1; }

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
registry=${REGISTRY:-localhost:5001}
tag=${TAG:-$version}
binary=${BINARY:-}
[[ $registry =~ ^[a-z0-9.:-]+$ ]] || fail "REGISTRY is \"$registry\": a host and perhaps a port are allowed, as localhost:5001"
[[ $tag =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$ ]] || fail "TAG is \"$tag\": letters, digits, dot, dash and underscore are allowed"
command -v docker >/dev/null || fail "there is no docker"
docker version >/dev/null 2>&1 || fail "no Docker engine answers; is it running, and may you use it?"
need_packages readelf=binutils

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ -z "$binary" ]; then
    echo "building the program in a container"
    docker build -f deploy/images/build.Dockerfile -t "almadia-build:$tag" . || fail "the build in a container failed; BINARY=FILE uses a program that is there"
    container=$(docker create "almadia-build:$tag")
    docker cp "$container:/almadia" "$work/almadia"
    docker rm "$container" >/dev/null
    binary=$work/almadia
fi
[ -f "$binary" ] || fail "BINARY is \"$binary\": there is no such file"
is_static "$binary" || fail "$binary is linked dynamically and cannot run in an empty image; make it with scripts/build-musl.sh"

build_images "$binary" "$registry/almadia" "$tag" "${BASE:-alpine:3.22}" || fail "an image could not be built"
for image in server client; do
    name=$registry/almadia/$image:$tag
    if [ "${PUSH:-1}" = 1 ]; then docker push --quiet "$name" || fail "$name could not be pushed; does a registry answer at $registry?"; fi
    echo "$name $(docker image inspect --format '{{.Size}}' "$name") bytes"
done
