//! Config files that nobody should have written: none panics, whatever is in it, and each complaint is one line. The mutations are those
//! of the decoders of what lies below the program.

use super::tests::load_all;

#[path = "../../../almadia-server/tests/decoders/mutate.rs"]
mod mutate;

const FILES: &[&str] = &[
    "name: m0\nheartbeat-interval: 100\npre-vote: true\nlog-outputs: [stderr, stdout]\n",
    "client-transport-security:\n  cert-file: /c\n  key-file: /k\npeer-transport-security:\n  allowed-cn: [m0, m1]\n  client-cert-auth: true\n  trusted-ca-file: /t\n  \
     cert-file: /c\n  key-file: /k\nsocket-options: {}\n",
    "election-timeout: 5000\nexperimental-watch-progress-notify-interval: 5000000000\ninitial-cluster: a=http://a:1\nname: a\n",
    "auto-compaction-mode: revision\nauto-compaction-retention: '1000'\nmax-txn-ops: 10\ncors: '*'\nauth-token: simple\n",
];

#[test]
fn config_file() {
    let valid = FILES.iter().map(|file| file.as_bytes().to_vec()).collect();
    mutate::fuzz("config file", valid, |bytes| {
        let Ok(document) = std::str::from_utf8(bytes) else {
            return false;
        };
        match load_all("--config-file etcd.yaml", &[], document) {
            Ok(_) => true,
            Err(error) => {
                let error = error.to_string();
                assert!(!error.contains('\n'), "{document:?}: {error}");
                false
            }
        }
    });
}
