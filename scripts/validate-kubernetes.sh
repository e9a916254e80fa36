#!/usr/bin/env bash
# Five steps that show a running store on any Kubernetes cluster: its data survives the deletion of all pods, clients are served, the
# leader's pod and the leader's machine may go. Each prints OK or ERROR; the first error ends it with exit code 1. What it prints is
# fixed and Spanish, since courses look for it.
#
#   --name NAME              the StatefulSet [almadia]; its headless Service is NAME-peers, its client Service NAME
#   --namespace NS           [kubectl's]
#   --context CONTEXT        [kubectl's]
#   --apply FILE             manifests for a first deployment, where there is no StatefulSet yet [deploy/kubernetes/almadia.yaml]
#   --stop-machine COMMAND   stops the machine whose Kubernetes node's name is in $MACHINE [docker stop, as kind's machines are containers]
#   --start-machine COMMAND  starts it again [docker start]
#   --wait SECONDS           for pods to become ready [180]
#
# Machines with the control plane on them are never stopped: leadership is moved off them first. Stores without TLS only.
set -euo pipefail
cd "$(dirname "$0")/.."

name=almadia namespace="" context="" manifest=deploy/kubernetes/almadia.yaml wait_seconds=180
stop_machine='docker stop "$MACHINE"' start_machine='docker start "$MACHINE"'
usage() { sed -n '2,/^set /p' "$0" | sed -n 's/^# \{0,1\}//p'; }
while [ $# -gt 0 ]; do
    case $1 in --help | -h) usage; exit 0 ;; esac
    [ $# -ge 2 ] || { echo "validate-kubernetes: $1 needs a value" >&2; exit 2; }
    case $1 in
        --name) name=$2 ;;
        --namespace) namespace=$2 ;;
        --context) context=$2 ;;
        --apply) manifest=$2 ;;
        --stop-machine) stop_machine=$2 ;;
        --start-machine) start_machine=$2 ;;
        --wait) wait_seconds=$2 ;;
        *) echo "validate-kubernetes: there is no $1; --help lists what there is" >&2; exit 2 ;;
    esac
    shift 2
done
command -v kubectl >/dev/null || { echo "validate-kubernetes: kubectl is missing" >&2; exit 2; }

kube() { kubectl ${context:+--context "$context"} ${namespace:+--namespace "$namespace"} "$@"; }
field() { kube get "$1" -o "jsonpath=$2"; }
# The client that check() started last, to be taken away at the end.
client_pod=""
finish() {
    local code=$?
    if [ -n "$client_pod" ]; then kube delete pod "$client_pod" --ignore-not-found --wait=false >/dev/null 2>&1 || true; fi
    exit "$code"
}
trap finish EXIT

ok() { echo "-> OK: Prueba superada.${1:+ ($1)}"; }
error() { echo "-> ERROR: $1"; echo "=== FIN ==="; exit 1; }

# pods: the ordinals that there are to be.
pods() { seq 0 $(($(field "statefulset/$name" '{.spec.replicas}') - 1)); }

# addresses EXCEPT: client addresses of all members but this one.
addresses() {
    local list="" ordinal
    for ordinal in $(pods); do
        if [ "$ordinal" != "${1:-}" ]; then list+="${list:+,}http://$name-$ordinal.$name-peers:2379"; fi
    done
    echo "$list"
}

# check ADDRESSES AVOID: the client's check in a pod of its own, on any machine but AVOID. Sets index, term and leader.
check() {
    local phase output deadline=$((SECONDS + 90))
    client_pod=$name-validate-$((++checks))
    kube delete pod "$client_pod" --ignore-not-found --grace-period=1 >/dev/null
    client_manifest "$1" "${2:-}" | kube apply -f - >/dev/null || return 1
    while :; do
        phase=$(field "pod/$client_pod" '{.status.phase}') || phase=""
        case $phase in Succeeded | Failed) break ;; esac
        [ $SECONDS -lt "$deadline" ] || { echo "   el pod $client_pod no ha terminado: ${phase:-sin estado}" >&2; return 1; }
        sleep "${POLL_SECONDS:-1}"
    done
    output=$(kube logs "$client_pod") || return 1
    kube delete pod "$client_pod" --wait=false >/dev/null
    client_pod=""
    if [ "$phase" != Succeeded ] || ! grep -q 'COMPLETADAS CON ÉXITO' <<<"$output"; then
        sed 's/^/   /' <<<"$output" >&2
        return 1
    fi
    index=$(grep -m1 -o 'idx=[0-9]*' <<<"$output" | cut -d= -f2)
    term=$(grep -m1 -o 'mandato=[0-9]*' <<<"$output" | cut -d= -f2)
    leader=$(grep -m1 -o 'lider=[0-9]*' <<<"$output" | cut -d= -f2)
    [ -n "$index" ] && [ -n "$term" ] && [ -n "$leader" ]
}
checks=0

client_manifest() {
    cat <<YAML
apiVersion: v1
kind: Pod
metadata: { name: $client_pod, labels: { app.kubernetes.io/name: almadia-client, $name-client: "true" } }
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  enableServiceLinks: false
  affinity:
    nodeAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        nodeSelectorTerms: [{ matchExpressions: [{ key: kubernetes.io/hostname, operator: NotIn, values: ["$2"] }] }]
  securityContext: { runAsNonRoot: true, runAsUser: 10001, seccompProfile: { type: RuntimeDefault } }
  containers:
    - name: client
      image: $image
      args: [check, --lang, es, --endpoints, "$1"]
      securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: [ALL] } }
YAML
}

machine_of() { field "pod/$name-$1" '{.spec.nodeName}'; }
rolled_out() { kube rollout status "statefulset/$name" --timeout="${wait_seconds}s" >/dev/null; }
inside() { local ordinal=$1; shift; kube exec "$name-$ordinal" -- /usr/local/bin/almadia "$@"; }

# returned N: the member answers a linearizable read and its pod is ready. Neither alone is enough: a pod counts as ready until the
# cluster notices that its machine is gone, and a pod that is being made anew may not be there to be waited for.
returned() {
    local deadline=$((SECONDS + wait_seconds))
    until inside "$1" get almadia-check/1 >/dev/null 2>&1 && kube wait --for=condition=Ready "pod/$name-$1" --timeout=5s >/dev/null 2>&1; do
        [ $SECONDS -lt "$deadline" ] || return 1
        sleep "${POLL_SECONDS:-1}"
    done
}

# What the positions of two checks must show: sets `progress`, or says what went back.
advanced() {
    [ "$leader" != "$old_leader" ] || error "el líder sigue siendo $leader."
    [ "$term" -gt "$old_term" ] || error "el mandato no avanza: de $old_term a $term."
    [ "$index" -gt "$old_index" ] || error "el índice no avanza: de $old_index a $index."
    progress="líder $old_leader -> $leader, mandato $old_term -> $term, índice $old_index -> $index"
}
remember() { old_leader=$leader old_term=$term old_index=$index; }

echo "=== INICIO TEST RAFT EN KUBERNETES ==="

echo "[1] Despliegue: los datos sobreviven a la eliminación de todos los pods"
if ! field "statefulset/$name" '{.metadata.name}' >/dev/null 2>&1; then
    kube apply -f "$manifest" >/dev/null || error "No se ha podido desplegar $manifest."
fi
rolled_out || error "Los pods no están listos."
shared=$(for ordinal in $(pods); do machine_of "$ordinal"; echo; done | sed '/^$/d' | sort | uniq -d)
[ -z "$shared" ] || error "Dos miembros comparten la máquina $shared."
image=$(field "statefulset/$name" '{.spec.template.spec.containers[0].image}')
mark=$(date +%s)-$$
inside 0 put validate/mark "$mark" >/dev/null || error "No se ha podido escribir."
# shellcheck disable=SC2046
kube delete pod $(pods | sed "s/^/$name-/") --wait=true >/dev/null || error "No se han podido eliminar los pods."
# Right after a deletion the StatefulSet may still count the old pods as ready: what is asked is the member.
deadline=$((SECONDS + wait_seconds))
while :; do
    code=0
    kept=$(inside 0 get validate/mark 2>/dev/null) || code=$?
    case $code in
        0) break ;;
        4) error "Los datos se han perdido." ;; # There is no such key.
    esac
    [ $SECONDS -lt "$deadline" ] || error "Los pods no vuelven a estar listos."
    sleep "${POLL_SECONDS:-1}"
done
[ "$kept" = "$mark" ] || error "Los datos se han perdido."
rolled_out || error "Los pods no vuelven a estar listos."
ok

echo "[2] Cliente automático"
check "http://$name:2379" || error "El cliente falló."
ok "líder $leader, mandato $term, índice $index"
remember

echo "[3] Caída del pod líder"
kube delete pod "$name-$leader" --force --grace-period=0 >/dev/null 2>&1 || error "No se ha podido eliminar el pod $name-$leader."
check "$(addresses "$leader")" || error "El cliente falló."
advanced
ok "$progress"
returned "$old_leader" || error "El pod $name-$old_leader no vuelve a estar listo."

echo "[4] Parada de la máquina del líder"
control_planes=" $(kube get nodes -l node-role.kubernetes.io/control-plane -o 'jsonpath={.items[*].metadata.name}') "
MACHINE=$(machine_of "$leader")
if [[ $control_planes = *" $MACHINE "* ]]; then
    moved=""
    for ordinal in $(pods); do
        if [[ $control_planes = *" $(machine_of "$ordinal") "* ]]; then continue; fi
        if inside "$ordinal" move-leader "$name-$ordinal" >/dev/null; then moved=$ordinal; break; fi
    done
    [ -n "$moved" ] || error "El líder está en la máquina del plano de control y no se ha podido mover."
    check "http://$name:2379" || error "El cliente falló."
    MACHINE=$(machine_of "$leader")
fi
if [[ $control_planes = *" $MACHINE "* ]]; then error "El líder sigue en la máquina del plano de control."; fi
remember
export MACHINE
bash -c "$stop_machine" >/dev/null || error "No se ha podido parar la máquina $MACHINE."
check "$(addresses "$leader")" "$MACHINE" || { bash -c "$start_machine" >/dev/null || true; error "El cliente falló."; }
advanced
ok "$progress; máquina $MACHINE"

echo "[5] Arranque de la máquina: el miembro se pone al día"
bash -c "$start_machine" >/dev/null || error "No se ha podido arrancar la máquina $MACHINE."
returned "$old_leader" || error "El miembro $old_leader no vuelve."
check "$(addresses "")" || error "El cliente falló."
inside "$leader" log --compare --endpoints "$(addresses "")" >/dev/null || error "Los registros de los miembros difieren."
ok "miembro $old_leader al día"
echo "=== FIN ==="
