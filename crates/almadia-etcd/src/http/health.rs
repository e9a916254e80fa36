//! `/health`, `/livez` and `/readyz` (B8.3, B8.4): whether a member can serve, for load balancers and supervisors.
//!
//! Everything is found out when it is asked. A check waits as long as a request would and no longer.

use super::text_response;
use crate::backend::Backend;
use crate::error::Fault;
use crate::maintenance::active_alarms;
use crate::proto::etcdserverpb::AlarmType;
use crate::service::Shared;
use serde_json::json;
use std::fmt::Write;
use tonic::body::Body;
use tonic::codegen::http::{Response, StatusCode};

/// What `/livez` looks at.
static LIVE: [Check; 1] = [Check::View];

/// What `/readyz` looks at.
static READY: [Check; 5] = [
    Check::NotStopping,
    Check::DataCorruption,
    Check::SerializableRead,
    Check::LinearizableRead,
    Check::NonLearner,
];

/// Something that is right or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    NotStopping,
    /// Whether it can show what it has, without asking anybody: no majority, and no lack of one, makes a process that lives
    /// one that is to be killed.
    View,
    DataCorruption,
    SerializableRead,
    LinearizableRead,
    NonLearner,
}

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// `/health`.
    Health,
    /// `/livez`, `/readyz`, or one check below them.
    Checks(&'static str, &'static [Check]),
}

impl Question {
    /// What this path asks for, if it is one of health.
    pub(super) fn of(path: &str) -> Option<Self> {
        if path == "/health" {
            return Some(Self::Health);
        }
        let (kind, checks, below): (_, &'static [Check], &str) = match path.strip_prefix("/livez") {
            Some(below) => ("livez", &LIVE, below),
            None => ("readyz", &READY, path.strip_prefix("/readyz")?),
        };
        if below.is_empty() {
            return Some(Self::Checks(kind, checks));
        }
        let name = below.strip_prefix('/')?;
        let one = checks.iter().find(|check| check.name() == name)?;
        Some(Self::Checks(kind, std::slice::from_ref(one)))
    }

    /// Finds out.
    pub(super) async fn answer<B: Backend>(self, shared: &Shared<B>, query: Option<&str>) -> Response<Body> {
        let query = Query(query.unwrap_or_default());
        match self {
            Self::Health => health(shared, query).await,
            Self::Checks(kind, checks) => probe(shared, kind, checks, query).await,
        }
    }
}

/// Parameters of a URL; those that mean something here have values of plain letters.
#[derive(Clone, Copy)]
struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    fn values(self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.split('&').filter_map(move |pair| {
            let (given, value) = pair.split_once('=').unwrap_or((pair, ""));
            (given == name).then_some(value)
        })
    }

    fn excludes(self, name: &str) -> bool {
        self.values("exclude").any(|excluded| excluded == name)
    }
}

async fn health<B: Backend>(shared: &Shared<B>, query: Query<'_>) -> Response<Body> {
    let serializable = query.values("serializable").any(|value| value == "true");
    let found = unhealthy(shared, query, serializable).await;
    shared.metrics.care.note_health(found.is_none());
    let Some(reason) = found else {
        return answer(true, "");
    };
    tracing::warn!(%reason, "asked for its health, and not healthy");
    answer(false, &reason)
}

fn answer(is_healthy: bool, reason: &str) -> Response<Body> {
    let text = json!({ "health": is_healthy.to_string(), "reason": reason }).to_string();
    let status = if is_healthy {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    super::json_response(status, text)
}

/// What is wrong with the member, in etcd's words.
async fn unhealthy<B: Backend>(shared: &Shared<B>, query: Query<'_>, serializable: bool) -> Option<String> {
    let alarms = active_alarms(&shared.backend.status(), &shared.backend.view());
    let raised = alarms
        .iter()
        .map(|alarm| AlarmType::try_from(alarm.kind).map_or("UNKNOWN", |kind| kind.as_str_name()))
        .find(|name| !query.excludes(name));
    if let Some(name) = raised {
        return Some(format!("ALARM {name}"));
    }
    if !serializable && !shared.backend.has_leader() {
        return Some("RAFT NO LEADER".to_owned());
    }
    let fault = shared.readable_view(serializable).await.err()?;
    Some(format!("RANGE ERROR:{}", fault.code_and_text().1))
}

async fn probe<B: Backend>(
    shared: &Shared<B>,
    kind: &str,
    checks: &[Check],
    query: Query<'_>,
) -> Response<Body> {
    let (mut text, mut all_right) = (String::new(), true);
    for check in checks.iter().filter(|check| !query.excludes(check.name())) {
        let looked = check.look(shared).await;
        shared.metrics.care.note_check(kind, check.name(), looked.is_ok());
        // Writing into a string never fails.
        let _ = match looked {
            // Only worth a line when it is not so: etcd has no such check.
            Ok(()) if *check == Check::NotStopping => Ok(()),
            Ok(()) => writeln!(text, "[+]{} ok", check.name()),
            Err(reason) => {
                all_right = false;
                writeln!(text, "[-]{} failed: {reason}", check.name())
            }
        };
    }
    if !all_right {
        tracing::warn!(
            checks = text.trim_end(),
            "asked whether it lives or is ready, and it is not"
        );
        return text_response(StatusCode::SERVICE_UNAVAILABLE, text);
    }
    if query.values("verbose").next().is_none() {
        text.clear();
    }
    text.push_str("ok\n");
    text_response(StatusCode::OK, text)
}

impl Check {
    fn name(self) -> &'static str {
        match self {
            Self::NotStopping => "not_stopping",
            Self::DataCorruption => "data_corruption",
            // etcd's name for what it looks at.
            Self::View | Self::SerializableRead => "serializable_read",
            Self::LinearizableRead => "linearizable_read",
            Self::NonLearner => "non_learner",
        }
    }

    /// Whether it is so; if not, why.
    async fn look<B: Backend>(self, shared: &Shared<B>) -> Result<(), String> {
        let text = |fault: Fault| fault.code_and_text().1.to_owned();
        match self {
            Self::NotStopping if shared.backend.is_stopping() => Err("the member is stopping".to_owned()),
            Self::NotStopping => Ok(()),
            Self::View => {
                drop(shared.backend.view());
                Ok(())
            }
            Self::DataCorruption => {
                let alarms = active_alarms(&shared.backend.status(), &shared.backend.view());
                if alarms.iter().any(|alarm| alarm.kind == AlarmType::Corrupt as i32) {
                    return Err("alarm activated: CORRUPT".to_owned());
                }
                Ok(())
            }
            Self::SerializableRead => shared.readable_view(true).await.map(drop).map_err(text),
            Self::LinearizableRead => shared.readable_view(false).await.map(drop).map_err(text),
            Self::NonLearner if shared.backend.is_learner() => Err("the member is a learner".to_owned()),
            Self::NonLearner => Ok(()),
        }
    }
}
