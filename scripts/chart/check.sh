#!/usr/bin/env bash
# The chart: helm's lint, every value set of deploy/chart/golden rendered as its golden file says, every rendered object fit for
# Kubernetes' own schemas, wrong values refused in words, README and plain manifests as the chart makes them. UPDATE=1 rewrites
# golden files, README and plain manifests instead of comparing. Needs Go (for helm) and Python; exit code 3 where they cannot be had.
set -euo pipefail
cd "$(dirname "$0")/../.."
source scripts/lib/tools.sh
need_packages diff=diffutils
need_helm
need_schemas

chart=deploy/chart
# The oldest that the chart says it takes, one that is widespread, and the newest there is a schema for.
releases=(1.30 1.34 1.37)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "chart: $*" >&2; exit 1; }

render() { "$helm" template almadia "$chart" --namespace default --kube-version 1.34.0 "$@"; }

# same FILE NEW: FILE is what the chart makes now, or becomes it.
same() {
    if [ "${UPDATE:-0}" = 1 ]; then cp "$2" "$1"; return 0; fi
    diff -u "$1" "$2" || fail "$1 is not what the chart makes; look at the difference, then UPDATE=1 scripts/chart/check.sh"
}

"$helm" lint --strict "$chart" >"$work/lint" 2>&1 || { cat "$work/lint" >&2; fail "helm lint"; }

count=0
for values in "$chart"/golden/*.values.yaml; do
    name=$(basename "$values" .values.yaml)
    render -f "$values" >"$work/$name.yaml" || fail "$name: does not render"
    "$python" scripts/chart/objects.py validate "$name" "${releases[@]}" <"$work/$name.yaml"
    same "$chart/golden/$name.yaml" "$work/$name.yaml"
    count=$((count + 1))
done
[ "$count" -gt 0 ] || fail "no value sets in $chart/golden"

# helm renders the notes for a cluster only; in a copy of the chart they are an object like the others.
cp -r "$chart" "$work/noted"
cp "$chart/templates/NOTES.txt" "$work/noted/notes"
printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: { name: notes }\ndata:\n  notes: {{ tpl (.Files.Get "notes") . | toJson }}\n' >"$work/noted/templates/notes.yaml"
notes() { "$helm" template almadia "$work/noted" --kube-version 1.34.0 --show-only templates/notes.yaml "$@" >"$work/notes" || fail "NOTES.txt does not render"; }
noted() { grep -qF -- "$1" "$work/notes" || { cat "$work/notes" >&2; fail "NOTES.txt does not say \"$1\""; }; }
notes
noted "http://almadia.default.svc:2379"
notes --set replicaCount=2 --set persistence.enabled=false --set faultInjection.enabled=true
noted "members survive no more failures"
noted "persistence is off"
noted "fault injection is on"
notes -f "$chart/golden/bitnami.values.yaml"
noted "removeMemberOnContainerTermination, disasterRecovery, startFromSnapshot"

refused=0
while IFS=$'\t' read -r arguments words; do
    case $arguments in "" | "#"*) continue ;; esac
    read -r -a list <<<"$arguments"
    if render "${list[@]}" >"$work/refused" 2>&1; then fail "not refused: $arguments"; fi
    grep -qF -- "$words" "$work/refused" || { cat "$work/refused" >&2; fail "refused without saying \"$words\": $arguments"; }
    refused=$((refused + 1))
done <scripts/chart/refused.txt
[ "$refused" -gt 0 ] || fail "no wrong values were tried"

cp "$chart/README.md" "$work/README.md"
"$python" scripts/chart/readme.py "$chart/values.yaml" "$work/README.md"
same "$chart/README.md" "$work/README.md"

mkdir "$work/plain"
render --set toolbox.enabled=true | "$python" scripts/chart/objects.py plain "$work/plain"
for file in "$work"/plain/*.yaml; do
    "$python" scripts/chart/objects.py validate "$(basename "$file")" "${releases[@]}" <"$file"
    same "deploy/kubernetes/$(basename "$file")" "$file"
done

echo "chart: $count value sets rendered, $refused wrong values refused"
