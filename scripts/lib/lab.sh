# Names of the lab on kind. Sourced, never run.
# shellcheck shell=bash disable=SC2034
lab=${CLUSTER:-almadia}
registry_name=$lab-registry
registry_port=${REGISTRY_PORT:-5001}
registry_image=${REGISTRY_IMAGE:-registry:2}
context=kind-$lab

fail() { echo "$(basename "$0" .sh): $*" >&2; exit 1; }

# want PROGRAM WHERE-FROM
want() { command -v "$1" >/dev/null || fail "$1 is missing: $2"; }
