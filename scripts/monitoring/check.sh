#!/usr/bin/env bash
# The alerts: their form, their unit tests (promtool), that each is tested both ways and has a runbook, and that what Kubernetes
# gets is made of the same rules. Seconds. Installs Debian's prometheus when promtool is missing; exit 3 when it cannot be had.
set -euo pipefail
cd "$(dirname "$0")/../.."

source scripts/lib/tools.sh
need_packages promtool=prometheus python3=python3
promtool check rules deploy/monitoring/almadia.rules.yaml
promtool test rules deploy/monitoring/tests/almadia.test.yaml
python3 scripts/monitoring/render.py --check

failed=0
tests=deploy/monitoring/tests/almadia.test.yaml
for alert in $(sed -n 's/^ *- alert: //p' deploy/monitoring/almadia.rules.yaml); do
    firing="ALERTS{alertname=\"$alert\", alertstate=\"firing\"}"
    if ! grep -qF "expr: $firing" "$tests"; then
        echo "monitoring: $alert has no test that it fires ($tests)"; failed=1
    fi
    if ! grep -F "ALERTS{alertname=\"$alert\"" "$tests" | grep -qF 'exp_samples: []'; then
        echo "monitoring: $alert has no test that it does not fire ($tests)"; failed=1
    fi
    if ! grep -qx "## $alert" docs/operating/runbooks.md; then
        echo "monitoring: $alert has no runbook (docs/operating/runbooks.md)"; failed=1
    fi
    if ! grep -qF "runbooks.md#$(tr '[:upper:]' '[:lower:]' <<<"$alert")" deploy/monitoring/almadia.rules.yaml; then
        echo "monitoring: $alert does not name its runbook"; failed=1
    fi
done
exit "$failed"
