#!/usr/bin/env bash
# From a clean checkout to a running store and a client that has checked it: lab, images, chart, client pod, test pod. Run it again to
# bring a change into the lab. Environment as in kind-up.sh and build-push.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib/tools.sh
source scripts/lib/lab.sh
scripts/kind-up.sh
REGISTRY=localhost:$registry_port scripts/build-push.sh
helm_on_path=$(command -v helm || true)
HELM=${HELM:-$helm_on_path}
if [ -z "$HELM" ]; then unset HELM; fi
need_helm
kubectl() { command kubectl --context "$context" "$@"; }

"$helm" --kube-context "$context" upgrade --install almadia deploy/chart -f deploy/kind/values.yaml \
    --set "image.registry=localhost:$registry_port" ${TAG:+--set "image.tag=$TAG"} || fail "helm upgrade --install failed"
kubectl rollout status statefulset/almadia --timeout=180s || { kubectl get pods -o wide; fail "the members did not become ready"; }

# Pods cannot be changed, only made anew.
for pod in client test; do
    kubectl delete pod "almadia-$pod" --ignore-not-found --grace-period=1 >/dev/null
    sed "s#localhost:5001/\(almadia/[a-z]*\):.*#localhost:$registry_port/\1:${TAG:-$(sed -n 's/^appVersion: //p' deploy/chart/Chart.yaml)}#" "deploy/kubernetes/$pod-pod.yaml" | kubectl apply -f - >/dev/null
done
kubectl wait --for=jsonpath='{.status.phase}'=Succeeded pod/almadia-client --timeout=60s >/dev/null || { kubectl logs almadia-client; fail "the client's check failed"; }
kubectl logs almadia-client
kubectl wait --for=condition=Ready pod/almadia-test --timeout=60s >/dev/null || fail "the test pod did not start"
echo "next: kubectl exec -it almadia-test -- sh      then: almadia status --cluster"
