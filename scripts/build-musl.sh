#!/usr/bin/env bash
# Builds the static program with this machine's Rust and prints its path as the last line. Needs rustup and, from Debian, musl-tools.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib/tools.sh
target=$(uname -m)-unknown-linux-musl
{
    need_packages musl-gcc=musl-tools
    command -v rustup >/dev/null || unavailable "there is no rustup; build in a container instead: scripts/build-push.sh"
    rustup target add "$target" || unavailable "the Rust target $target cannot be had"
    cargo build --release --locked --bin almadia --target "$target"
} >&2
echo "${CARGO_TARGET_DIR:-target}/$target/release/almadia"
