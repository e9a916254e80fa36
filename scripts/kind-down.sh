#!/usr/bin/env bash
# Takes the lab of scripts/kind-up.sh away: cluster, registry and the images in it. Nothing of it is left.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib/lab.sh
want docker "install a Docker engine"
want kind "the lab was made with it"
if kind get clusters 2>/dev/null | grep -qx "$lab"; then kind delete cluster --name "$lab" || fail "the cluster $lab could not be deleted"; fi
if docker inspect "$registry_name" >/dev/null 2>&1; then docker rm --force --volumes "$registry_name" >/dev/null; fi
echo "the lab $lab is gone"
