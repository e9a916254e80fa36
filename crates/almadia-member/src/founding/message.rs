//! What members say to each other while founding, as types and as bytes.
//!
//! One pipe carries one conversation: [`Ask`], [`Answer`], and when the answer announces it [`Found`] and
//! [`FoundAck`]. Bytes are protobuf, so that a newer release can add fields; decoding never panics.

use crate::identity::{InitialMember, InitialMemberBytes};
use almadia_command::{ClusterId, MemberId};
use bytes::Bytes;
use prost::Message;
use std::collections::BTreeMap;

/// Bytes of a founding message at most.
const FRAME_BYTES_MAX: usize = 1024 * 1024;

/// "Do you belong to a cluster?" Said by a member that belongs to none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The asking member's instance id.
    pub member: MemberId,
    /// Its name.
    pub name: String,
    /// Where it is reached: by that it is admitted to a cluster.
    pub peer_urls: Vec<String>,
}

/// The answer to an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The answering member's instance id.
    pub member: MemberId,
    /// Its name.
    pub name: String,
    /// Its cluster; 0 when it belongs to none. The fields below are empty when it belongs to one.
    pub cluster: ClusterId,
    /// [`Found`] follows: the asking member is one of those the cluster was founded with.
    pub offers: bool,
    /// [`Admitted`] follows: the asking member's address was given an id.
    pub admits: bool,
    /// It may take part in founding (`--initial-cluster-state new`).
    pub founding: bool,
    /// The names of its `--initial-cluster`, in order.
    pub initial_names: Vec<String>,
    /// Who has told it, since it started, that it is empty, under which instance id.
    pub seen: BTreeMap<String, MemberId>,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
    /// Why the asking member is not let into the cluster yet, for people.
    pub says: String,
}

/// "You are one of the members of this cluster."
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The cluster; never 0.
    pub cluster: ClusterId,
    /// All its first members.
    pub initial: Vec<InitialMember>,
}

/// "You are a member of this cluster under this id, and nobody else ever is."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The cluster; never 0.
    pub cluster: ClusterId,
    /// The id; never 0.
    pub member: MemberId,
}

/// "I have persisted that."
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundAck {
    /// The cluster.
    pub cluster: ClusterId,
    /// Who has persisted.
    pub member: MemberId,
}

/// Any of the messages.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant carries the message of its name")]
pub enum Frame {
    Ask(Ask),
    Answer(Answer),
    Found(Found),
    FoundAck(FoundAck),
    Admitted(Admitted),
}

/// Bytes that are no founding message of this release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Not well formed.
    #[error("a founding message is damaged")]
    Damaged,
    /// Of a kind that only a newer release knows.
    #[error("a founding message of a kind this release does not know")]
    Unknown,
}

impl Frame {
    /// The bytes of the message.
    pub fn encode(&self) -> Bytes {
        let kind = match self {
            Self::Ask(ask) => Kind::Ask(AskBytes {
                member: ask.member.get(),
                name: ask.name.clone(),
                peer_urls: ask.peer_urls.clone(),
            }),
            Self::Answer(answer) => Kind::Answer(answer_bytes(answer)),
            Self::Found(found) => Kind::Found(FoundBytes {
                cluster: found.cluster.get(),
                initial: found.initial.iter().map(InitialMemberBytes::from).collect(),
            }),
            Self::FoundAck(ack) => Kind::FoundAck(FoundAckBytes {
                cluster: ack.cluster.get(),
                member: ack.member.get(),
            }),
            Self::Admitted(admitted) => Kind::Admitted(FoundAckBytes {
                cluster: admitted.cluster.get(),
                member: admitted.member.get(),
            }),
        };
        FrameBytes { kind: Some(kind) }.encode_to_vec().into()
    }

    /// Reads a message back.
    ///
    /// # Errors
    /// [`FrameError`], whatever the bytes; never panics.
    pub fn decode(bytes: Bytes) -> Result<Self, FrameError> {
        if bytes.len() > FRAME_BYTES_MAX {
            return Err(FrameError::Damaged);
        }
        let frame = FrameBytes::decode(bytes).map_err(|_| FrameError::Damaged)?;
        Ok(match frame.kind.ok_or(FrameError::Unknown)? {
            Kind::Ask(ask) => Self::Ask(Ask {
                member: MemberId(ask.member),
                name: ask.name,
                peer_urls: ask.peer_urls,
            }),
            Kind::Answer(answer) => Self::Answer(read_answer(answer)),
            Kind::Found(found) => Self::Found(Found {
                cluster: ClusterId(found.cluster),
                initial: found.initial.into_iter().map(InitialMember::from).collect(),
            }),
            Kind::FoundAck(ack) => Self::FoundAck(FoundAck {
                cluster: ClusterId(ack.cluster),
                member: MemberId(ack.member),
            }),
            Kind::Admitted(admitted) => Self::Admitted(Admitted {
                cluster: ClusterId(admitted.cluster),
                member: MemberId(admitted.member),
            }),
        })
    }
}

fn answer_bytes(answer: &Answer) -> AnswerBytes {
    AnswerBytes {
        member: answer.member.get(),
        name: answer.name.clone(),
        cluster: answer.cluster.get(),
        offers: answer.offers,
        admits: answer.admits,
        founding: answer.founding,
        initial_names: answer.initial_names.clone(),
        seen: answer
            .seen
            .iter()
            .map(|(name, id)| SeenBytes {
                name: name.clone(),
                member: id.get(),
            })
            .collect(),
        client_urls: answer.client_urls.clone(),
        says: answer.says.clone(),
    }
}

fn read_answer(bytes: AnswerBytes) -> Answer {
    Answer {
        member: MemberId(bytes.member),
        name: bytes.name,
        cluster: ClusterId(bytes.cluster),
        offers: bytes.offers,
        admits: bytes.admits,
        founding: bytes.founding,
        initial_names: bytes.initial_names,
        seen: bytes
            .seen
            .into_iter()
            .map(|seen| (seen.name, MemberId(seen.member)))
            .collect(),
        client_urls: bytes.client_urls,
        says: bytes.says,
    }
}

#[derive(Clone, PartialEq, Message)]
struct FrameBytes {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Kind {
    #[prost(message, tag = "1")]
    Ask(AskBytes),
    #[prost(message, tag = "2")]
    Answer(AnswerBytes),
    #[prost(message, tag = "3")]
    Found(FoundBytes),
    #[prost(message, tag = "4")]
    FoundAck(FoundAckBytes),
    #[prost(message, tag = "5")]
    Admitted(FoundAckBytes),
}

#[derive(Clone, PartialEq, Message)]
struct AskBytes {
    #[prost(fixed64, tag = "1")]
    member: u64,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, repeated, tag = "3")]
    peer_urls: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct AnswerBytes {
    #[prost(fixed64, tag = "1")]
    member: u64,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(fixed64, tag = "3")]
    cluster: u64,
    #[prost(bool, tag = "4")]
    offers: bool,
    #[prost(bool, tag = "5")]
    founding: bool,
    #[prost(string, repeated, tag = "6")]
    initial_names: Vec<String>,
    #[prost(message, repeated, tag = "7")]
    seen: Vec<SeenBytes>,
    #[prost(string, repeated, tag = "8")]
    client_urls: Vec<String>,
    #[prost(bool, tag = "9")]
    admits: bool,
    #[prost(string, tag = "10")]
    says: String,
}

#[derive(Clone, PartialEq, Message)]
struct SeenBytes {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(fixed64, tag = "2")]
    member: u64,
}

#[derive(Clone, PartialEq, Message)]
struct FoundBytes {
    #[prost(fixed64, tag = "1")]
    cluster: u64,
    #[prost(message, repeated, tag = "2")]
    initial: Vec<InitialMemberBytes>,
}

#[derive(Clone, PartialEq, Message)]
struct FoundAckBytes {
    #[prost(fixed64, tag = "1")]
    cluster: u64,
    #[prost(fixed64, tag = "2")]
    member: u64,
}
