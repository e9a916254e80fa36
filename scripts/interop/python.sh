# What the suites that come in a Python source package share: their packages in an environment of their own, the package unpacked,
# and what pytest's last lines say. Sourced after lib.sh.
# shellcheck shell=bash disable=SC2154

export PIP_DISABLE_PIP_VERSION_CHECK=1
# Tests that may fail, by name with what is wrong; set by the suite.
declare -A expected_failures=()

# install_suite NAME VERSION PACKAGE…: these packages (the build tools first) in $work/venv, and NAME's source in $work/NAME-VERSION.
install_suite() {
    local name=$1 version=$2
    shift 2
    need python3 python3
    python3 -c 'import venv, ensurepip' 2>/dev/null || need /nonexistent python3-venv
    {
        python3 -m venv "$work/venv" &&
            "$work/venv/bin/pip" install --quiet setuptools==75.6.0 wheel==0.45.1 pbr==7.1.3 &&
            "$work/venv/bin/pip" install --quiet "$@" &&
            "$work/venv/bin/pip" download --quiet --no-deps --no-binary :all: --no-build-isolation --dest "$work" "$name==$version"
    } >"$work/pip.log" 2>&1 || { tail -n 5 "$work/pip.log" >&2; unavailable "the Python packages cannot be installed"; }
    tar -xzf "$work/$name-$version.tar.gz" -C "$work"
    say "python: $("$work/venv/bin/python" --version); $("$work/venv/bin/pip" freeze | tr '\n' ' ')"
}

# run_pytest SECONDS ARGUMENT…: runs them and reads what came out: sets `passed`, `skipped`, and `unexpected` (failures that are not
# in expected_failures), and prints the failures.
run_pytest() {
    local seconds=$1
    shift
    timeout "$seconds" "$work/venv/bin/python" -m pytest -q --tb=short --disable-warnings -rfE -p no:cacheprovider \
        -o console_output_style=none "$@" >"$work/pytest.txt" 2>&1 || true
    read_pytest
}

read_pytest() {
    local last failures name
    # "N failed, M passed, …"; an error while cleaning up counts as a failure of its test.
    last=$(tail -n 1 "$work/pytest.txt")
    passed=$(grep -o '[0-9]* passed' <<<"$last" | cut -d ' ' -f 1 || true)
    skipped=$(grep -o '[0-9]* skipped' <<<"$last" | cut -d ' ' -f 1 || true)
    failures=$(sed -n 's/^\(FAILED\|ERROR\) [^:]*::\([^ ]*\).*/\2/p' "$work/pytest.txt" | sort -u)
    unexpected=0
    for name in $failures; do
        if [ -n "${expected_failures[$name]:-}" ]; then
            say "expected to fail: $name (${expected_failures[$name]})"
        else
            unexpected=$((unexpected + 1))
            say "FAILED $name"
        fi
    done
    for name in "${!expected_failures[@]}"; do
        grep -qx "$name" <<<"$failures" || say "expected to fail, but passed: $name"
    done
    if [ "$unexpected" -gt 0 ] || [ -z "$passed" ]; then grep -v '^ *warnings.warn' "$work/pytest.txt" | tail -n 150; fi
    passed=${passed:-0} skipped=${skipped:-0}
}
