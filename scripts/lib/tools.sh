# Programs and Python packages that the scripts for images, chart and containers need, by name and version from the ordinary
# registries, kept in a cache so that a second run installs nothing. Sourced, never run. What cannot be had ends the script with
# exit code 3 after saying so.
# shellcheck shell=bash

tools_cache=${XDG_CACHE_HOME:-$HOME/.cache}/almadia-tools
helm_version=v3.19.2
kubernetes_validate_version=1.37.0

unavailable() { echo "$(basename "$0"): SKIPPED: $*" >&2; exit 3; }

# need_packages COMMAND-OR-FILE=PACKAGE …: installs Debian's packages for what is missing.
need_packages() {
    local pair missing=()
    for pair in "$@"; do
        if ! command -v "${pair%%=*}" >/dev/null && ! [ -e "${pair%%=*}" ]; then missing+=("${pair#*=}"); fi
    done
    if [ "${#missing[@]}" -eq 0 ]; then return 0; fi
    command -v apt-get >/dev/null || unavailable "missing ${missing[*]}, and this machine has no apt-get"
    echo "installing ${missing[*]}"
    local log
    log=$(mktemp)
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 ||
        { tail -n 5 "$log" >&2; unavailable "cannot install ${missing[*]}"; }
    rm -f "$log"
}

# Sets `helm`: the pinned version, built from its source once. Set HELM to use another one.
need_helm() {
    helm=${HELM:-$tools_cache/helm-$helm_version/helm}
    if [ -x "$helm" ]; then return 0; fi
    command -v go >/dev/null || unavailable "helm $helm_version needs Go to be built, and there is none; set HELM=PROGRAM"
    echo "building helm $helm_version (minutes, once)"
    local log
    log=$(mktemp)
    GOBIN=$(dirname "$helm") go install "helm.sh/helm/v3/cmd/helm@$helm_version" >"$log" 2>&1 ||
        { tail -n 5 "$log" >&2; unavailable "helm $helm_version cannot be built"; }
    rm -f "$log"
}

# Sets `python`: one with the Kubernetes schemas of kubernetes-validate.
need_schemas() {
    local environment=$tools_cache/schemas-$kubernetes_validate_version log
    python=$environment/bin/python
    if "$python" -c "import kubernetes_validate" 2>/dev/null; then return 0; fi
    command -v python3 >/dev/null || unavailable "there is no python3"
    log=$(mktemp)
    { python3 -m venv "$environment" && "$python" -m pip install --quiet "kubernetes-validate==$kubernetes_validate_version"; } >"$log" 2>&1 ||
        { tail -n 5 "$log" >&2; unavailable "kubernetes-validate $kubernetes_validate_version cannot be installed"; }
    rm -f "$log"
}
