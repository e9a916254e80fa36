#!/usr/bin/env bash
# The console in headless Chromium, against a real cluster of three processes: what it shows before and after the leader is
# killed, a key's history, sign-in, the keyboard, light and dark, a phone's width; no error in the console, no breach of its policy.
# Takes the program from ALMADIA (default: target/release/almadia, else target/debug/almadia). Screenshots go to the directory in
# ALMADIA_ARTEFACTS (default: target/console). Exit code 3: Chromium cannot be had here, nothing was tested.
set -euo pipefail
cd "$(dirname "$0")/../.."

almadia=${ALMADIA:-}
if [ -z "$almadia" ]; then
    for candidate in target/release/almadia target/debug/almadia; do
        if [ -x "$candidate" ]; then almadia=$candidate; break; fi
    done
fi
if [ ! -x "$almadia" ]; then
    echo "browser: there is no program to test: build it, or name it in ALMADIA" >&2
    exit 1
fi

# Chromium with its driver and Selenium are Debian's, all three of one release and kept together there.
have() { command -v chromium >/dev/null && command -v chromedriver >/dev/null && /usr/bin/python3 -c 'import selenium' 2>/dev/null; }
if ! have; then
    log=$(mktemp)
    if ! { apt-get update -q && apt-get install -qy --no-install-recommends chromium chromium-driver python3-selenium fonts-dejavu-core; } >"$log" 2>&1; then
        tail -n 5 "$log"
        rm -f "$log"
        echo "browser: SKIPPED: Debian's packages chromium, chromium-driver and python3-selenium cannot be had here" >&2
        exit 3
    fi
    rm -f "$log"
    if ! have; then
        echo "browser: SKIPPED: Chromium, its driver or Selenium is not there although it was installed" >&2
        exit 3
    fi
fi

artefacts=${ALMADIA_ARTEFACTS:-target/console}
mkdir -p "$artefacts"
exec timeout 300 /usr/bin/python3 scripts/console/browser.py "$(realpath "$almadia")" "$(realpath "$artefacts")"
