#!/usr/bin/env bash
# scripts/kind-up.sh and kind-down.sh on stand-ins for kind, docker and kubectl that note what they are asked: a second run changes
# nothing, a stopped registry is started again, nothing is left, and what cannot work is said in one line.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export STUB=$work/state
mkdir "$work/bin" "$STUB"
fail() { echo "kind: $*" >&2; cat "$work/output" "$STUB/calls" >&2; exit 1; }

cat >"$work/bin/kind" <<'STUB'
#!/bin/sh
echo "kind $*" >>"$STUB/calls"
case "$1 $2" in
    "get clusters") cat "$STUB/cluster" 2>/dev/null || echo "No kind clusters found." >&2 ;;
    "get nodes") printf 'almadia-control-plane\nalmadia-worker\nalmadia-worker2\nalmadia-worker3\nalmadia-worker4\n' ;;
    "create cluster") echo almadia >"$STUB/cluster" ;;
    "delete cluster") rm "$STUB/cluster" ;;
    *) exit 99 ;;
esac
STUB
cat >"$work/bin/docker" <<'STUB'
#!/bin/sh
echo "docker $*" >>"$STUB/calls"
case "$1 $2" in
    "version ") ;;
    "inspect --format") case $3 in
        *Running*) cat "$STUB/registry" 2>/dev/null || exit 1 ;;
        *) cat "$STUB/connected" 2>/dev/null || true ;;
        esac ;;
    "inspect almadia-registry") test -e "$STUB/registry" ;;
    "run --detach") test ! -e "$STUB/port-taken" && echo true >"$STUB/registry" ;;
    "start almadia-registry") echo true >"$STUB/registry" ;;
    "network connect") echo yes >"$STUB/connected" ;;
    "exec "*) cat >/dev/null ;;
    "rm --force") rm -f "$STUB/registry" "$STUB/connected" ;;
    *) exit 99 ;;
esac
STUB
printf '#!/bin/sh\necho "kubectl $*" >>"$STUB/calls"\ncase "$*" in *"apply -f -"*) cat >/dev/null ;; esac\n' >"$work/bin/kubectl"
chmod +x "$work/bin/"*
full_path=$PATH
export PATH="$work/bin:$PATH"

# run SCRIPT CODE
run() {
    local code=0
    : >"$STUB/calls"
    "scripts/$1.sh" >"$work/output" 2>&1 </dev/null || code=$?
    [ "$code" = "$2" ] || fail "$1: exit code $code instead of $2"
}
called() { grep -q -- "$1" "$STUB/calls" || fail "not called: $1"; }
not_called() { if grep -q -- "$1" "$STUB/calls"; then fail "called: $1"; fi; }
says() { grep -qF -- "$1" "$work/output" || fail "does not say: $1"; }

run kind-up 0
called "kind create cluster --name almadia --config deploy/kind/cluster.yaml"
called "docker run .*127.0.0.1:5001:5000 --name almadia-registry"
called "docker network connect kind almadia-registry"
[ "$(grep -c 'docker exec almadia-.* mkdir -p /etc/containerd/certs.d/localhost:5001' "$STUB/calls")" = 5 ] || fail "not every machine knows the registry"

run kind-up 0
not_called "kind create"
not_called "docker run"
not_called "network connect"

echo false >"$STUB/registry"
run kind-up 0
called "docker start almadia-registry"

run kind-down 0
called "kind delete cluster --name almadia"
[ -z "$(ls "$STUB" | grep -v calls || true)" ] || fail "something is left: $(ls "$STUB")"
run kind-down 0
not_called "kind delete"
not_called "docker rm"

touch "$STUB/port-taken"
run kind-up 1
says "is port 5001 taken?"
mv "$work/bin/kind" "$work/kind"
if ! PATH=$full_path command -v kind >/dev/null; then
    run kind-up 1
    says "kind is missing"
fi
echo "kind: up and down are as they should be"
