//! C32: the console's files and the data behind them.

use super::client::{Answer, Talk, ask, get, post};
use crate::double::Scene;
use almadia_etcd::Config;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What the page is made of, as it names it itself.
async fn files(at: SocketAddr) -> Vec<String> {
    let page = get(at, "/").await.body;
    let named = |attribute: &str| -> Vec<String> {
        let parts = page.split(attribute).skip(1);
        let paths = parts.filter_map(|rest| rest.split('"').next());
        paths
            .filter(|path| path.starts_with("console/"))
            .map(|path| format!("/{path}"))
            .collect()
    };
    let mut files = named("href=\"");
    files.extend(named("src=\""));
    files
}

/// Every answer of the console keeps a browser from anything but what this member serves.
#[track_caller]
pub fn assert_guarded(answer: &Answer) {
    let policy = answer.header("content-security-policy").expect("a policy");
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(
        answer.header("access-control-allow-origin"),
        None,
        "pages of others read nothing here, whatever --cors says"
    );
}

#[tokio::test]
async fn c32_the_page_and_all_it_names_are_served() {
    let scene = Scene::new().await;
    let at = scene.address;
    let page = get(at, "/").await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, Some("text/html; charset=utf-8"))
    );
    assert_guarded(&page);
    let files = files(at).await;
    assert!(files.len() >= 6, "{files:?}");
    for path in files {
        let file = get(at, &path).await;
        let expected = match path.rsplit_once('.').expect("files have endings").1 {
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            other => panic!("{path} is of a kind without a type: {other}"),
        };
        assert_eq!(
            (file.status, file.header("content-type")),
            (200, Some(expected)),
            "{path}"
        );
        assert_guarded(&file);
    }
    // What the scripts import is there too.
    for path in ["/console/vendor/uplot.js", "/console/state.js", "/console/api.js"] {
        assert_eq!(get(at, path).await.status, 200, "{path}");
    }
    for path in [
        "/console",
        "/console/",
        "/console/none.js",
        "/index.html",
        "/console/../index.html",
        "/console/vendor",
    ] {
        assert_eq!(get(at, path).await.status, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        let answer = ask(at, method, "/", &[], "").await;
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some("GET")),
            "{method}"
        );
    }
}

#[tokio::test]
async fn c32_files_are_kept_and_asked_about_by_their_tag() {
    let scene = Scene::new().await;
    let at = scene.address;
    let first = get(at, "/console/main.js").await;
    let tag = first.header("etag").expect("a tag").to_owned();
    assert_eq!(first.header("cache-control"), Some("no-cache"));
    assert_eq!(first.header("vary"), Some("Accept-Encoding"));
    assert_ne!(
        get(at, "/console/live.js").await.header("etag"),
        Some(tag.as_str())
    );
    for known in [
        tag.clone(),
        format!("W/{tag}"),
        format!("\"other\", {tag}"),
        "*".to_owned(),
    ] {
        let again = ask(at, "GET", "/console/main.js", &[("If-None-Match", &known)], "").await;
        assert_eq!((again.status, again.body.as_str()), (304, ""), "{known}");
        assert_eq!(again.header("etag"), Some(tag.as_str()));
    }
    let other = ask(
        at,
        "GET",
        "/console/main.js",
        &[("If-None-Match", "\"other\"")],
        "",
    )
    .await;
    assert_eq!((other.status, other.body), (200, first.body));
}

#[tokio::test]
async fn c32_files_are_packed_for_those_who_can_unpack() {
    let scene = Scene::new().await;
    let path = "/console/vendor/uplot.js";
    let plain = get(scene.address, path).await;
    assert_eq!(plain.header("content-encoding"), None);
    let mut talk = Talk::begin(scene.address, "GET", path, &[("Accept-Encoding", "gzip")], "").await;
    let encoding = talk.headers.iter().find(|(name, _)| name == "content-encoding");
    assert_eq!(encoding.map(|(_, value)| value.as_str()), Some("gzip"));
    let mut packed = Vec::new();
    while let Some(piece) = talk.piece().await {
        packed.extend(piece);
    }
    assert!(packed.len() * 2 < plain.body.len(), "{} bytes", packed.len());
    let mut unpacked = String::new();
    std::io::Read::read_to_string(
        &mut flate2::read::GzDecoder::new(packed.as_slice()),
        &mut unpacked,
    )
    .expect("it is gzip");
    assert_eq!(unpacked, plain.body);
}

/// `--enable-console=false`.
#[tokio::test]
async fn c32_the_console_can_be_turned_off() {
    let scene = Scene::with(Config {
        console: false,
        ..Config::default()
    })
    .await;
    for path in [
        "/",
        "/console/main.js",
        "/console/stream",
        "/console/watchers",
        "/console/slow",
    ] {
        assert_eq!(get(scene.address, path).await.status, 404, "{path}");
    }
    assert_eq!(get(scene.address, "/health").await.status, 200);
}

/// Server-sent events, read as they come.
struct Events {
    talk: Talk,
    text: String,
}

impl Events {
    async fn begin(at: SocketAddr, headers: &[(&str, &str)]) -> Self {
        let talk = Talk::begin(at, "GET", "/console/stream", headers, "").await;
        Self {
            talk,
            text: String::new(),
        }
    }

    /// The next event's name and data; none when the stream has ended.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (name, data) = event.split_once('\n').expect("a name and data");
                let name = name.strip_prefix("event: ").expect("a name").to_owned();
                let data = data.strip_prefix("data: ").expect("data");
                let data = serde_json::from_str(data).expect("JSON");
                self.text = rest.to_owned();
                return Some((name, data));
            }
            let piece = self.talk.piece().await?;
            self.text.push_str(std::str::from_utf8(&piece).expect("text"));
        }
    }

    async fn look(&mut self) -> Value {
        loop {
            let (name, data) = self.next().await.expect("the stream goes on");
            if name == "look" {
                return data;
            }
        }
    }
}

#[tokio::test]
async fn c32_the_stream_shows_the_cluster() {
    let scene = Scene::new().await;
    post(scene.address, "/v3/kv/put", r#"{"key":"Zm9v","value":"MQ=="}"#).await;
    let mut events = Events::begin(scene.address, &[]).await;
    let kind = events
        .talk
        .headers
        .iter()
        .find(|(name, _)| name == "content-type");
    assert_eq!(kind.map(|(_, value)| value.as_str()), Some("text/event-stream"));
    let (name, welcome) = events.next().await.expect("a welcome");
    assert_eq!(
        (name.as_str(), &welcome["member"]),
        ("welcome", &json!("8e9e05c52164694d"))
    );
    let look = events.look().await;
    let members = look["members"].as_array().expect("members");
    assert_eq!(members.len(), 2);
    assert_eq!(members[0]["name"], "almadia-0");
    assert_eq!(
        (&members[0]["report"]["role"], &members[0]["report"]["term"]),
        (&json!("leader"), &json!(3))
    );
    assert_eq!(members[1]["report"], Value::Null, "it has never answered");
    assert_eq!(look["served"]["writes"], 1);
    assert!(look["read_us"].is_u64(), "a read was confirmed: {look}");
    assert_eq!(look["events"][0]["kind"], "leader");
    // Events are told once to each, and again to whoever comes later.
    assert_eq!(events.look().await["events"], json!([]));
    let mut later = Events::begin(scene.address, &[]).await;
    let (_, welcome) = later.next().await.expect("a welcome");
    assert_eq!(welcome["events"][0]["kind"], "leader");
    drop((events, later));
    scene.stop().await;
}

/// How long calls took, of the last seconds only; nothing where nothing was asked.
#[tokio::test]
async fn c32_the_stream_says_how_long_calls_take() {
    let scene = Scene::new().await;
    let at = scene.address;
    let mut events = Events::begin(at, &[]).await;
    let nothing = json!({"read": null, "write": null});
    assert_eq!(events.look().await["served"]["latency"], nothing);
    for _ in 0..3 {
        post(at, "/v3/kv/put", r#"{"key":"Zm9v","value":"MQ=="}"#).await;
    }
    let told = async {
        loop {
            let latency = events.look().await["served"]["latency"].clone();
            if latency["write"]["count"] == 3 {
                return latency;
            }
        }
    };
    let latency = tokio::time::timeout(Duration::from_secs(10), told)
        .await
        .expect("the writes are seen");
    let [half, nearly_all] =
        ["p50_us", "p99_us"].map(|name| latency["write"][name].as_f64().expect("a time"));
    assert!(0.0 < half && half <= nearly_all && nearly_all < 10e6, "{latency}");
    assert_eq!(latency["read"], Value::Null, "nothing was read");
}

#[tokio::test]
async fn c32_slow_requests_and_where_their_time_went() {
    let scene = Scene::with(Config {
        slow_request_threshold: Some(Duration::ZERO),
        ..Config::default()
    })
    .await;
    let at = scene.address;
    for _ in 0..60 {
        post(at, "/v3/kv/put", r#"{"key":"Zm9v","value":"MQ=="}"#).await;
    }
    post(at, "/v3/kv/range", r#"{"key":"Zm9v"}"#).await;
    // A request is over when its answer was taken, which may be a moment after the client has it.
    let told = async {
        loop {
            let told = get(at, "/console/slow").await;
            if told.json()["recent"][0]["method"] == "etcdserverpb.KV/Range" {
                return told;
            }
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(10), told)
        .await
        .expect("it is told");
    assert_guarded(&told);
    assert_eq!(told.header("cache-control"), Some("no-store"));
    let told = told.json();
    assert_eq!(told["threshold_ms"], 0.0);
    let counted: u64 = told["counts"]
        .as_array()
        .expect("counts")
        .iter()
        .filter_map(|one| one["count"].as_u64())
        .sum();
    assert_eq!(counted, 61);
    let recent = told["recent"].as_array().expect("requests");
    assert_eq!(recent.len(), 50, "bounded");
    let put = &recent[1];
    assert_eq!(
        (&put["method"], &put["key"]),
        (&json!("etcdserverpb.KV/Put"), &json!("foo"))
    );
    let parts = put["parts_us"].as_object().expect("parts");
    let sum: u64 = parts.values().filter_map(Value::as_u64).sum();
    let took = put["took_us"].as_u64().expect("a time");
    // Each part is cut to whole microseconds.
    assert!(sum <= took && took - sum <= parts.len() as u64, "{put}");
    assert_eq!(parts.len(), 6);
    assert!(put["words"].as_str().is_some_and(|words| !words.is_empty()));
}

#[tokio::test]
async fn c32_without_a_threshold_nothing_is_slow() {
    let scene = Scene::with(Config {
        slow_request_threshold: None,
        ..Config::default()
    })
    .await;
    post(scene.address, "/v3/kv/put", r#"{"key":"Zm9v","value":"MQ=="}"#).await;
    let told = get(scene.address, "/console/slow").await.json();
    assert_eq!(
        (&told["threshold_ms"], &told["recent"]),
        (&Value::Null, &json!([]))
    );
}

/// Nothing is computed while nobody looks: one lookout for all who do, gone with the last of them.
#[tokio::test]
async fn c32_nobody_looks_unless_somebody_does() {
    let scene = Scene::new().await;
    let counts = scene.double.lookouts.clone();
    get(scene.address, "/").await;
    assert_eq!(counts.open.load(Ordering::SeqCst), 0);
    let mut viewers = Vec::new();
    for _ in 0..3 {
        let mut viewer = Events::begin(scene.address, &[]).await;
        viewer.look().await;
        viewers.push(viewer);
    }
    assert_eq!(counts.open.load(Ordering::SeqCst), 1);
    drop(viewers);
    let gone = async {
        while counts.open.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .expect("the lookout ends with the last viewer");
    let looks = counts.looks.load(Ordering::SeqCst);
    // Whoever comes again finds a new one.
    Events::begin(scene.address, &[]).await.look().await;
    assert!(counts.looks.load(Ordering::SeqCst) > looks);
}

/// Bound: so many look at the same time and no more.
#[tokio::test]
async fn c32_viewers_are_bounded() {
    let scene = Scene::new().await;
    let mut viewers = Vec::new();
    let refused = loop {
        let viewer = Events::begin(scene.address, &[]).await;
        if viewer.talk.status != 200 {
            break viewer.talk.status;
        }
        viewers.push(viewer);
    };
    assert_eq!((refused, viewers.len()), (429, 16));
    // They are served on, and a place is free again when one is gone.
    viewers.last_mut().expect("there are some").look().await;
    viewers.pop();
    let freed = async {
        while Events::begin(scene.address, &[]).await.talk.status != 200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), freed)
        .await
        .expect("a place is free again");
}

#[tokio::test]
async fn c32_a_stop_ends_the_stream() {
    let scene = Scene::new().await;
    let mut events = Events::begin(scene.address, &[]).await;
    events.look().await;
    let reading = async { while events.next().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(10), async {
        tokio::join!(scene.stop(), reading)
    })
    .await
    .expect("the server does not wait for those who look");
}

/// Enables permissions with root, a user who may read one key, and one more with the role root; answers their tokens.
pub async fn enable_auth(at: SocketAddr) -> [String; 3] {
    for (path, body) in [
        ("auth/user/add", r#"{"name":"root","password":"r"}"#),
        ("auth/user/grant", r#"{"user":"root","role":"root"}"#),
        ("auth/role/add", r#"{"name":"reader"}"#),
        (
            "auth/role/grant",
            r#"{"name":"reader","perm":{"permType":"READ","key":"Zm9v"}}"#,
        ),
        ("auth/user/add", r#"{"name":"ann","password":"a"}"#),
        ("auth/user/grant", r#"{"user":"ann","role":"reader"}"#),
        ("auth/user/add", r#"{"name":"bob","password":"b"}"#),
        ("auth/user/grant", r#"{"user":"bob","role":"root"}"#),
        ("auth/enable", "{}"),
    ] {
        let answer = post(at, &format!("/v3/{path}"), body).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    let mut tokens = Vec::new();
    for body in [
        r#"{"name":"root","password":"r"}"#,
        r#"{"name":"ann","password":"a"}"#,
        r#"{"name":"bob","password":"b"}"#,
    ] {
        let answer = post(at, "/v3/auth/authenticate", body).await;
        let token = answer.json()["token"].as_str().expect("a token").to_owned();
        tokens.push(token);
    }
    tokens.try_into().expect("three users")
}

#[tokio::test]
async fn c32_data_needs_root_where_permissions_count() {
    let scene = Scene::new().await;
    let at = scene.address;
    let [root, ann, bob] = enable_auth(at).await;
    assert_eq!(get(at, "/").await.status, 200, "files are everybody's");
    for path in ["/console/stream", "/console/watchers", "/console/slow"] {
        let nobody = get(at, path).await;
        assert_eq!(nobody.status, 400, "no user: {nobody:?}");
        assert_guarded(&nobody);
        let forged = ask(at, "GET", path, &[("Authorization", "forged")], "").await;
        assert_eq!(forged.status, 401, "{forged:?}");
        let other = ask(at, "GET", path, &[("Authorization", &ann)], "").await;
        assert_eq!(other.status, 403, "{other:?}");
    }
    let allowed = ask(at, "GET", "/console/watchers", &[("Authorization", &root)], "").await;
    assert_eq!(
        (allowed.status, allowed.json()),
        (200, json!({"live": 0, "ranges": []}))
    );
    let mut events = Events::begin(at, &[("Authorization", &bob)]).await;
    events.look().await;
    // The right is looked at again and again.
    let revoke = r#"{"name":"bob","role":"root"}"#;
    let revoked = ask(
        at,
        "POST",
        "/v3/auth/user/revoke",
        &[("Authorization", &root)],
        revoke,
    )
    .await;
    assert_eq!(revoked.status, 200, "{revoked:?}");
    let ended = async { while events.next().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(10), ended)
        .await
        .expect("who may not look any more is shown nothing more");
}

#[tokio::test]
async fn c32_watchers_by_range() {
    let scene = Scene::new().await;
    let at = scene.address;
    let mut watches = Vec::new();
    for create in [
        r#"{"create_request":{"key":"Zm9v"}}"#,
        r#"{"create_request":{"key":"Zm9v"}}"#,
        r#"{"create_request":{"key":"YQ==","range_end":"Yg=="}}"#,
        r#"{"create_request":{"key":"PHNjcmlwdD4=","range_end":"AA=="}}"#,
    ] {
        let mut watch = Talk::begin(at, "POST", "/v3/watch", &[], create).await;
        assert_eq!(watch.next().await["result"]["created"], true);
        watches.push(watch);
    }
    let expected = json!({"live": 4, "ranges": [
        {"key": "foo", "end": null, "watchers": 2},
        {"key": "<script>", "end": "", "watchers": 1},
        {"key": "a", "end": "b", "watchers": 1},
    ]});
    let shown = async {
        loop {
            let answer = get(at, "/console/watchers").await;
            assert_eq!(answer.header("content-type"), Some("application/json"));
            if answer.json() == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), shown)
        .await
        .expect("all four are live");
}
