#!/usr/bin/env bash
# Runs the commands of docs/learn/lab.md (its blocks marked `sh lab`) as a student would, in one shell, and looks for what the page
# says comes out (its `expect` comments). ALMADIA=FILE is the program (default: target/release/almadia).
set -euo pipefail
cd "$(dirname "$0")/../.."
almadia=$(realpath "${ALMADIA:-${CARGO_TARGET_DIR:-target}/release/almadia}")
[ -x "$almadia" ] || { echo "lab: $almadia is not a program" >&2; exit 1; }
work=$(mktemp -d)
# Whatever the page has left running lies in here by its directory.
finish() {
    local code=$? pid
    for pid in $(pgrep -f "server --name almadia-[0-9] --data-dir $work/" || true); do kill -KILL "$pid" 2>/dev/null || true; done
    rm -rf "$work"
    exit "$code"
}
trap finish EXIT
mkdir "$work/bin" "$work/blocks"
ln -s "$almadia" "$work/bin/almadia"
export PATH="$work/bin:$PATH" TMPDIR=$work
unset ALMADIA ALMADIA_ENDPOINTS

python3 - "$work" <<'PYTHON'
import pathlib, re, sys
page = pathlib.Path("docs/learn/lab.md").read_text()
work = pathlib.Path(sys.argv[1])
script = ["set -eu"]  # a command that fails ends it
blocks = list(re.finditer(r"^```sh lab\n(.*?)^```\n((?:<!-- expect: [^\n]* -->\n)*)", page, re.M | re.S))
for number, block in enumerate(blocks):
    output = work / "blocks" / f"{number}.out"
    script.append(f"exec >{output} 2>&1\n{block[1]}")
    (work / "blocks" / f"{number}.expect").write_text("".join(text + "\n" for text in re.findall(r"<!-- expect: (.*) -->", block[2])))
if len(blocks) < 7:
    sys.exit(f"lab: only {len(blocks)} blocks of commands were found in the page")
(work / "script").write_text("\n".join(script) + "\n")
PYTHON

told() {
    echo "lab: $*" >&2
    for output in "$work"/blocks/*.out; do echo "--- block $(basename "$output" .out)"; cat "$output"; done >&2
    exit 1
}
bash "$work/script" || told "the last block below has failed"
looked=0
for expected in "$work"/blocks/*.expect; do
    while read -r text; do
        grep -qF -- "$text" "${expected%.expect}.out" || told "not among what block $(basename "$expected" .expect) says: $text"
        looked=$((looked + 1))
    done <"$expected"
done
[ "$looked" -ge 10 ] || { echo "lab: only $looked expectations" >&2; exit 1; }
# The last ones were told to stop and may take a moment.
deadline=$((SECONDS + 10))
while pgrep -f "server --name almadia-[0-9] --data-dir $work/" >"$work/left"; do
    [ $SECONDS -lt $deadline ] || { echo "lab: the page leaves members running: $(xargs <"$work/left")" >&2; exit 1; }
    sleep 0.1
done
echo "lab: the page's commands do what it says ($looked expectations)"
