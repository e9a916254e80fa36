#!/usr/bin/env bash
# Gets a real etcd and etcdctl out of Debian's packages without installing them: unpacks them into DIR and prints their
# versions. The machine's apt set-up is only read: lists, cache and state of this run live in a temporary directory.
#
#   scripts/fetch-etcd.sh DIR        afterwards DIR/bin/etcd and DIR/bin/etcdctl run
#
# Environment: ETCD_VERSION (default 3.5.30), DEBIAN_SUITE (default sid), DEBIAN_MIRROR (a URI; default: what this
# machine's own apt configuration names).
set -euo pipefail

version=${ETCD_VERSION:-3.5.30}
suite=${DEBIAN_SUITE:-sid}

fail() { echo "fetch-etcd: $*" >&2; exit 1; }

[ $# -eq 1 ] || fail "usage: scripts/fetch-etcd.sh DIR"
mkdir -p "$1/bin"
dir=$(cd "$1" && pwd)

# True when both programs run and are of the wanted version.
present() {
    [ -x "$dir/bin/etcd" ] && [ -x "$dir/bin/etcdctl" ] || return 1
    # Read whole, then searched: a pipe into `grep -q` kills a program that goes on printing, and pipefail takes that for a failure.
    grep -qxF "etcd Version: $version" <<<"$("$dir/bin/etcd" --version 2>/dev/null)" || return 1
    grep -qxF "etcdctl version: $version" <<<"$(ETCDCTL_API=3 "$dir/bin/etcdctl" version 2>/dev/null)"
}

report() {
    head -n 1 <<<"$("$dir/bin/etcd" --version)"
    head -n 1 <<<"$(ETCDCTL_API=3 "$dir/bin/etcdctl" version)"
    echo "in $dir/bin"
}

if present; then report; exit 0; fi

for tool in apt-get apt-cache dpkg; do
    command -v "$tool" >/dev/null || fail "$tool is missing: this script needs a Debian-like machine; put etcd and etcdctl $version into $dir/bin by hand"
done

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# Archive URIs this machine knows, its own configuration first, apt's shipped example last; those of security updates hold
# no packages of other suites.
mirrors() {
    if [ -n "${DEBIAN_MIRROR:-}" ]; then echo "$DEBIAN_MIRROR"; return; fi
    {
        cat /etc/apt/sources.list.d/*.sources 2>/dev/null | awk '/^URIs:/ { for (i = 2; i <= NF; i++) print $i }' || true
        cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | sed -n 's/^deb\(-src\)\? \+\(\[[^]]*\] *\)\?\([^ ]\+\).*/\3/p' || true
        cat /usr/share/doc/apt/examples/sources.list /usr/share/doc/apt/examples/*.sources 2>/dev/null |
            sed -n -e 's/^deb \+\(\[[^]]*\] *\)\?\([^ ]\+\).*/\2/p' -e 's/^URIs: *//p' || true
    } | grep -v -e security -e '^cdrom:' | awk '!seen[$0]++' || true
}

# apt with lists, cache and sources of its own and without the machine's hooks; everything else (proxy, transports, keys) is
# the machine's.
private_apt() {
    local program=$1; shift
    "$program" -q -c "$tmp/apt.conf" "$@"
}

write_apt_configuration() {
    mkdir -p "$tmp/empty" "$tmp/state/lists/partial" "$tmp/cache/archives/partial" "$tmp/packages" "$tmp/root"
    : >"$tmp/status"
    cat >"$tmp/apt.conf" <<CONFIGURATION
Dir::Etc::sourcelist "$tmp/sources.list";
Dir::Etc::sourceparts "$tmp/empty";
Dir::Etc::preferences "$tmp/none";
Dir::Etc::preferencesparts "$tmp/empty";
Dir::State "$tmp/state";
Dir::State::status "$tmp/status";
Dir::Cache "$tmp/cache";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::Retries "3";
Acquire::Languages "none";
CONFIGURATION
}

# Makes the lists of archive $1 known; false when it has no such suite or not the wanted version.
try_mirror() {
    local keyring=/usr/share/keyrings/debian-archive-keyring.gpg options=""
    [ -r "$keyring" ] && options="[signed-by=$keyring] "
    echo "deb $options$1 $suite main" >"$tmp/sources.list"
    private_apt apt-get update >"$tmp/update.log" 2>&1 || { tail -n 3 "$tmp/update.log" >&2; return 1; }
    found=$(private_apt apt-cache policy etcd-server | sed -n 's/^ *Candidate: //p')
    [[ $found == "$version"-* || $found == "$version"+* || $found == "$version" ]] && return 0
    echo "fetch-etcd: $suite there has etcd-server ${found:-(none)}, wanted $version" >&2
    return 1
}

write_apt_configuration
found=""
ready=""
while read -r mirror; do
    if try_mirror "$mirror"; then ready=yes; break; fi
done < <(mirrors)
[ -n "$ready" ] || fail "no archive of this machine's apt configuration offers etcd-server $version in $suite; set DEBIAN_MIRROR, or ETCD_VERSION if $suite has moved on"

unpack() {
    (cd "$tmp/packages" && private_apt apt-get download "$@" >"$tmp/download.log" 2>&1) || { cat "$tmp/download.log" >&2; fail "cannot download $*"; }
    local package
    for package in "$tmp"/packages/*.deb; do dpkg -x "$package" "$tmp/root"; rm "$package"; done
}

unpack etcd-server etcd-client
cp "$tmp/root/usr/bin/etcd" "$tmp/root/usr/bin/etcdctl" "$dir/bin/"

# The programs of a newer suite may want a newer C library than this machine's: then bring that suite's along.
if ! present; then
    unpack libc6
    mkdir -p "$dir/lib" "$dir/libexec"
    loader=$(find "$tmp/root" -name 'ld-linux*.so*' | head -n 1)
    [ -n "$loader" ] || fail "etcd does not run here and libc6 has no loader"
    cp -a "$(dirname "$(find "$tmp/root" -name 'libc.so.6' | head -n 1)")"/. "$dir/lib/"
    cp -L "$loader" "$dir/lib/loader"
    for program in etcd etcdctl; do
        mv "$dir/bin/$program" "$dir/libexec/$program"
        printf '#!/bin/sh\nexec "%s/lib/loader" --library-path "%s/lib" "%s/libexec/%s" "$@"\n' \
            "$dir" "$dir" "$dir" "$program" >"$dir/bin/$program"
        chmod +x "$dir/bin/$program"
    done
fi

present || fail "unpacked etcd $found, but it does not run or is not $version: $("$dir/bin/etcd" --version 2>&1 | head -n 2)"
report
