#!/usr/bin/env bash
# Three members in containers to play with, until Ctrl-C: docs/learn/lab.md, part 5. Names are always the same: almadia-lab-0 to -2,
# their network almadia-lab.
#
#   ALMADIA=FILE   the program (default: target/release/almadia)
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
chmod 755 "$work"
source scripts/containers/lib.sh
name_run almadia-lab
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

begin
for number in 0 1 2; do pod_start "$number"; done
wait_for 30 "a cluster of three" caught_up "0 1 2"
cat <<TEXT

Three members and a client are running. In another shell:

  ${DOCKER_HOST:+export DOCKER_HOST=$DOCKER_HOST}
  export ALMADIA_ENDPOINTS=$(urls 0 1 2)
  almadia() { docker exec --env ALMADIA_ENDPOINTS almadia-lab-client almadia "\$@"; }
  almadia status
  docker network disconnect almadia-lab almadia-lab-0
  docker network connect --alias almadia-0.$peers almadia-lab almadia-lab-0

Ctrl-C here takes it all away.
TEXT
while :; do sleep 1; done
