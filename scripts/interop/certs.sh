# Certificates by openssl, for suites that ask for TLS: a CA, one for the members (as server, and as client of each other), and one
# for each client. Sourced after lib.sh; with it `scheme` is https, `tls_settings` has what both servers call these files, and
# etcdctl finds them. Almadia makes certificates too: these come from elsewhere on purpose.
# shellcheck shell=bash disable=SC2154

# sign NAME SUBJECT EXTENSIONS: $certs/NAME.key and $certs/NAME.crt, signed by the CA.
sign() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$certs/$1.key" -out "$certs/$1.csr" -subj "$2" &&
        openssl x509 -req -in "$certs/$1.csr" -CA "$certs/ca.crt" -CAkey "$certs/ca.key" -CAcreateserial -days 2 \
            -out "$certs/$1.crt" -extfile <(printf '%b' "$3")
}

# make_certificates CLIENT…: etcdctl shows the first one's. No client's has a common name: with access control on, etcd's gateway
# refuses whoever shows one, because it cannot tell its own server who asked.
make_certificates() {
    local client
    need openssl openssl
    certs=$work/certs
    mkdir -p "$certs"
    {
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$certs/ca.key" -out "$certs/ca.crt" \
            -days 2 -subj "/CN=interop CA" &&
            sign member "/O=interop" "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n" &&
            for client in "$@"; do sign "$client" "/O=$client" "extendedKeyUsage=clientAuth\n" || return 1; done
    } >"$work/openssl.log" 2>&1 || { cat "$work/openssl.log" >&2; fail "no certificates"; }
    scheme=https
    tls_settings=(ETCD_CLIENT_CERT_AUTH=true ETCD_PEER_CLIENT_CERT_AUTH=true
        ETCD_CERT_FILE="$certs/member.crt" ETCD_KEY_FILE="$certs/member.key" ETCD_TRUSTED_CA_FILE="$certs/ca.crt"
        ETCD_PEER_CERT_FILE="$certs/member.crt" ETCD_PEER_KEY_FILE="$certs/member.key" ETCD_PEER_TRUSTED_CA_FILE="$certs/ca.crt")
    export ETCDCTL_CACERT=$certs/ca.crt ETCDCTL_CERT=$certs/$1.crt ETCDCTL_KEY=$certs/$1.key
}
