#!/usr/bin/env bash
# What scripts/validate-kubernetes.sh makes of a cluster that behaves and of clusters that do not, on stand-ins for kubectl and docker.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Called some hundred times: by the interpreter itself, not through what finds it.
mkdir "$work/bin"
{ echo "#!$(python3 -c 'import sys; print(sys.executable)') -S"; sed 1d scripts/tests/stubs/kubectl; } >"$work/bin/kubectl"
cp scripts/tests/stubs/docker "$work/bin/docker"
chmod +x "$work/bin/kubectl"
export PATH="$work/bin:$PATH" STUB_STATE=$work/state POLL_SECONDS=0.05
fail() { echo "validate-kubernetes: $*" >&2; cat "$work/output" >&2; exit 1; }

# outcome FAULT CODE FLAGS…: runs it; its output is in $work/output.
outcome() {
    local fault=$1 wanted=$2 code=0
    shift 2
    rm -f "$STUB_STATE"
    STUB_FAULT=$fault scripts/validate-kubernetes.sh "$@" >"$work/output" 2>&1 || code=$?
    if grep -q "stub: what" "$work/output"; then fail "$fault: a call that the stand-in does not know"; fi
    [ "$code" = "$wanted" ] || fail "$fault: exit code $code instead of $wanted"
}
says() { grep -qF -- "$1" "$work/output" || fail "does not say: $1"; }
steps() { [ "$(grep -c '^-> OK: Prueba superada.' "$work/output")" = "$1" ] || fail "$1 steps should be OK"; }

outcome none 0
steps 5
[ "$(head -n 1 "$work/output")" = "=== INICIO TEST RAFT EN KUBERNETES ===" ] || fail "its first line"
[ "$(tail -n 1 "$work/output")" = "=== FIN ===" ] || fail "its last line"
for step in 1 2 3 4 5; do says "[$step]"; done
says "mandato 2 -> 3"
if [[ $(<"$STUB_STATE") != *'"stopped": []'* ]]; then fail "a machine was left stopped"; fi

# The machine of the control plane is not stopped: leadership is moved first.
outcome leader-on-control-plane 0
steps 5
outcome move-refused 1
steps 3
says "no se ha podido mover"

# Each fault, after how many good steps it is found, and in which words.
while IFS='|' read -r fault good words; do
    outcome "$fault" 1 --wait 4
    steps "$good"
    says "-> ERROR: $words"
    [ "$(tail -n 1 "$work/output")" = "=== FIN ===" ] || fail "$fault: its last line"
done <<'FAULTS'
shared-machine|0|Dos miembros comparten la máquina worker.
data-lost|0|Los datos se han perdido.
data-old|0|Los datos se han perdido.
pods-lost|0|Los pods no vuelven a estar listos.
client-fails|1|El cliente falló.
same-leader|2|el líder sigue siendo 1.
same-term|2|el mandato no avanza
index-back|2|el índice no avanza
never-back|4|El miembro
logs-differ|4|Los registros de los miembros difieren.
FAULTS

# Machines elsewhere are stopped by commands of one's own.
outcome none 0 --stop-machine 'kubectl stub stop "$MACHINE"; echo "$MACHINE" >>'"$work/stopped" --start-machine 'kubectl stub start "$MACHINE"'
steps 5
[ "$(wc -l <"$work/stopped")" = 1 ] || fail "the command that stops machines was not used once"
outcome none 1 --stop-machine 'false'
says "No se ha podido parar la máquina"

outcome none 2 --nonsense x
says "there is no --nonsense"
outcome none 2 --name
says "--name needs a value"
echo "validate-kubernetes: all as it should be"
