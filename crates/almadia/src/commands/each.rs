//! Asks several members the same, each for itself and all at once.
//!
//! Never passes a question on to another member: each answers for itself or not at all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tonic::{Code, Response, Status};

use super::cluster::{Cluster, connect};
use super::error::CommandError;
use super::global::Address;
use super::login::{self, Connection, Login};
use super::meaning::{is_refusal, without_origin};
use super::members;

/// Whom to ask.
#[derive(Clone, Debug, clap::Args)]
pub struct EachArguments {
    /// Ask all members of the cluster, not only the given addresses.
    #[arg(long)]
    pub cluster: bool,
}

/// What one address answered.
#[derive(Debug)]
pub struct Asked<T> {
    /// Whom was asked.
    pub address: Address,
    /// The answer, or why there is none.
    pub answer: Result<T, String>,
    /// The code of the answer when the member was reached and refused.
    pub refusal: Option<Code>,
    /// How long it took.
    pub took: Duration,
}

/// The addresses that are meant: those of the command line, or those of all members that have started.
pub async fn addresses(arguments: &EachArguments, cluster: &Cluster) -> Result<Vec<Address>, CommandError> {
    if !arguments.cluster {
        return Ok(cluster.addresses().to_vec());
    }
    Ok(members::client_addresses(
        &members::list(cluster, false).await?,
        cluster.security(),
    ))
}

/// Asks all addresses at once; the answers come in the order of the addresses.
pub async fn ask<T, F, Done>(
    addresses: Vec<Address>,
    timeout: Duration,
    login: Option<Arc<Login>>,
    question: F,
) -> Vec<Asked<T>>
where
    T: Send + 'static,
    F: Fn(Connection) -> Done + Clone + Send + 'static,
    Done: Future<Output = Result<Response<T>, Status>> + Send + 'static,
{
    let mut asking = JoinSet::new();
    for (at, address) in addresses.into_iter().enumerate() {
        let (question, login) = (question.clone(), login.clone());
        asking.spawn(async move {
            let began = Instant::now();
            let asked = tokio::time::timeout(timeout, ask_one(&address, timeout, login, question)).await;
            let asked = asked.unwrap_or_else(|_| Err((None, "no answer in time".to_owned())));
            let asked = Asked {
                address,
                refusal: asked.as_ref().err().and_then(|(code, _)| *code),
                answer: asked.map_err(|(_, reason)| reason),
                took: began.elapsed(),
            };
            (at, asked)
        });
    }
    let mut asked = asking.join_all().await;
    asked.sort_by_key(|(at, _)| *at);
    asked.into_iter().map(|(_, asked)| asked).collect()
}

async fn ask_one<T, F, Done>(
    address: &Address,
    timeout: Duration,
    login: Option<Arc<Login>>,
    question: F,
) -> Result<T, (Option<Code>, String)>
where
    F: Fn(Connection) -> Done,
    Done: Future<Output = Result<Response<T>, Status>>,
{
    let refused = |status: Status| {
        let is_refusal = is_refusal(&status).then_some(status.code());
        (is_refusal, without_origin(status.message()).to_owned())
    };
    let channel = connect(address, timeout).await.map_err(|reason| (None, reason))?;
    let connection = login::connection(login.as_deref(), &channel)
        .await
        .map_err(refused)?;
    question(connection)
        .await
        .map(Response::into_inner)
        .map_err(refused)
}

/// An error when nobody answered.
pub fn somebody<T>(asked: &[Asked<T>]) -> Result<(), CommandError> {
    if asked.iter().any(|asked| asked.answer.is_ok()) {
        return Ok(());
    }
    let refusal = asked
        .iter()
        .find_map(|asked| Some((asked.refusal?, asked.answer.as_ref().err()?)));
    if let Some((code, message)) = refusal {
        return Err(CommandError::Refused {
            code,
            message: message.clone(),
        });
    }
    let endpoints: Vec<&str> = asked
        .iter()
        .map(|asked| asked.address.authority.as_str())
        .collect();
    let reason = asked.iter().find_map(|asked| asked.answer.as_ref().err());
    Err(CommandError::Unreachable {
        endpoints: endpoints.join(", "),
        reason: reason.cloned().unwrap_or_default(),
    })
}
