//! What a member asks the leader when somebody is to come, go or be known differently, and what it is answered.
//!
//! Each question may be heard twice: it names what is to be so afterwards, and what is so already is an answer.

use super::MembershipRefusal;
use almadia_command::{LogIndex, MemberId};
use prost::Message;

/// One change.
#[derive(Clone, PartialEq, Message)]
pub struct ChangeQuestion {
    /// Which.
    #[prost(oneof = "Change", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub change: Option<Change>,
}

/// The changes there are.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Change {
    /// A new member.
    #[prost(message, tag = "1")]
    Add(Add),
    /// A member that the asking one has seen belong, after it was asked, is to leave.
    #[prost(fixed64, tag = "2")]
    Remove(u64),
    /// A member is to be reached elsewhere.
    #[prost(message, tag = "3")]
    Update(Update),
    /// A learner, as the asking member has seen it after it was asked, is to get a vote.
    #[prost(fixed64, tag = "4")]
    Promote(u64),
    /// An empty data directory asks for the id that was allotted to its address.
    #[prost(message, tag = "5")]
    Claim(Claim),
    /// A member says how it is called and where clients reach it.
    #[prost(message, tag = "6")]
    Publish(Publish),
    /// An empty data directory asks to be let in. Nothing is changed by asking: the leader notes it.
    #[prost(message, tag = "7")]
    Seek(Seek),
}

/// See [`Change::Seek`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Seek {
    /// The number drawn for the data directory.
    #[prost(fixed64, tag = "1")]
    pub instance: u64,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Where it is reached.
    #[prost(string, repeated, tag = "3")]
    pub peer_urls: Vec<String>,
}

/// See [`Change::Add`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Add {
    /// The id drawn for it.
    #[prost(fixed64, tag = "1")]
    pub member: u64,
    /// Where it will be reached.
    #[prost(string, repeated, tag = "2")]
    pub peer_urls: Vec<String>,
    /// It is to stay without a vote.
    #[prost(bool, tag = "3")]
    pub is_learner: bool,
}

/// See [`Change::Update`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Update {
    /// Who.
    #[prost(fixed64, tag = "1")]
    pub member: u64,
    /// Where it will be reached.
    #[prost(string, repeated, tag = "2")]
    pub peer_urls: Vec<String>,
}

/// See [`Change::Claim`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Claim {
    /// The number drawn for the data directory.
    #[prost(fixed64, tag = "1")]
    pub instance: u64,
    /// Where it is reached.
    #[prost(string, repeated, tag = "2")]
    pub peer_urls: Vec<String>,
}

/// See [`Change::Publish`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Publish {
    /// Who.
    #[prost(fixed64, tag = "1")]
    pub member: u64,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Where clients reach it.
    #[prost(string, repeated, tag = "3")]
    pub client_urls: Vec<String>,
}

/// What became of it.
#[derive(Clone, PartialEq, Message)]
pub struct ChangeAnswer {
    /// Done or refused.
    #[prost(oneof = "Outcome", tags = "1, 2, 3")]
    pub outcome: Option<Outcome>,
}

/// See [`ChangeAnswer`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Outcome {
    /// It is so.
    #[prost(message, tag = "1")]
    Done(Done),
    /// It is not, and nothing was written: a [`MembershipRefusal`] by its number.
    #[prost(uint32, tag = "2")]
    Refused(u32),
    /// It was noted; why it is not so yet, for people.
    #[prost(string, tag = "3")]
    Waits(String),
}

/// See [`Outcome::Done`].
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Done {
    /// Whoever has applied this entry sees it.
    #[prost(uint64, tag = "1")]
    pub index: u64,
    /// Whom it was about.
    #[prost(fixed64, tag = "2")]
    pub member: u64,
}

impl ChangeAnswer {
    /// It is so, for whoever has applied the log up to `index`.
    pub fn done(index: LogIndex, member: MemberId) -> Self {
        let (index, member) = (index.0, member.0);
        Self {
            outcome: Some(Outcome::Done(Done { index, member })),
        }
    }

    /// It was noted.
    pub fn waits(reason: String) -> Self {
        Self {
            outcome: Some(Outcome::Waits(reason)),
        }
    }

    /// It is refused.
    pub fn refused(refusal: MembershipRefusal) -> Self {
        Self {
            outcome: Some(Outcome::Refused(refusal as u32)),
        }
    }
}
