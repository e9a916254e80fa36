#!/usr/bin/env bash
# Brings up the lab: a kind cluster of one control plane and four workers, and a registry at localhost:5001 that its machines pull
# from. What is there already stays as it is, so it may be run again at any time.
#
#   CLUSTER=almadia        the cluster's name; the registry is CLUSTER-registry
#   REGISTRY_PORT=5001     on the loopback interface
#   NODE_IMAGE=…           kindest/node of another version
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib/lab.sh
want docker "install a Docker engine"
want kind "go install sigs.k8s.io/kind@latest, or your system's package"
want kubectl "install your system's package"
docker version >/dev/null 2>&1 || fail "no Docker engine answers; is it running, and may you use it?"

case $(docker inspect --format '{{.State.Running}}' "$registry_name" 2>/dev/null || echo none) in
    true) echo "registry $registry_name: there" ;;
    none)
        docker run --detach --restart=always --publish "127.0.0.1:$registry_port:5000" --name "$registry_name" "$registry_image" >/dev/null ||
            fail "the registry cannot be started; is port $registry_port taken?"
        echo "registry $registry_name: started" ;;
    *) docker start "$registry_name" >/dev/null && echo "registry $registry_name: started again" ;;
esac

if kind get clusters 2>/dev/null | grep -qx "$lab"; then
    echo "cluster $lab: there"
else
    kind create cluster --name "$lab" --config deploy/kind/cluster.yaml ${NODE_IMAGE:+--image "$NODE_IMAGE"} --wait 180s || fail "kind create cluster failed"
fi

# On a machine, localhost is the machine: there the registry has another name.
for machine in $(kind get nodes --name "$lab"); do
    directory=/etc/containerd/certs.d/localhost:$registry_port
    docker exec "$machine" mkdir -p "$directory"
    printf '[host."http://%s:5000"]\n' "$registry_name" | docker exec --interactive "$machine" cp /dev/stdin "$directory/hosts.toml"
done
if [ "$(docker inspect --format '{{if index .NetworkSettings.Networks "kind"}}yes{{end}}' "$registry_name")" != yes ]; then
    docker network connect kind "$registry_name"
fi
kubectl --context "$context" apply -f - >/dev/null <<YAML
apiVersion: v1
kind: ConfigMap
metadata: { name: local-registry-hosting, namespace: kube-public }
data:
  localRegistryHosting.v1: |
    host: "localhost:$registry_port"
YAML
kubectl --context "$context" wait --for=condition=Ready node --all --timeout=180s >/dev/null || fail "not all machines became ready"
kubectl --context "$context" get nodes
