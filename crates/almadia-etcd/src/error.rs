//! Every refusal a client can meet at this edge, with etcd's exact code and text, in one table.
//!
//! Clients tell errors apart by their text, so nothing else in this crate may write one. It never decides *when*
//! something is refused.

use crate::backend::{ProposeError, ReadError};
use almadia_member::{MemberChangeError, MembershipRefusal, MoveLeaderError};
use almadia_store::{AuthRefusal, Refusal};
use tonic::{Code, Status};

/// A refusal, as etcd knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A request or an operation without a key.
    EmptyKey,
    /// A put that keeps value or lease of a key that is not there, or an operation without content.
    KeyNotFound,
    /// A put that is to keep the value and brings one.
    ValueProvided,
    /// A put that is to keep the lease and brings one.
    LeaseProvided,
    /// More compares or operations than allowed.
    TooManyOperations,
    /// Two writes to one key in a transaction.
    DuplicateKey,
    /// A client's version that is no text.
    InvalidApiVersion,
    /// An order by something that does not exist.
    InvalidSortOption,
    /// The request does not fit into a log entry.
    RequestTooLarge,
    /// A revision that is already compacted.
    Compacted,
    /// A revision that does not exist yet.
    FutureRevision,
    /// No room.
    NoSpace,
    /// Too much is waiting to be decided.
    TooManyRequests,
    /// More watches on this member than allowed.
    TooManyWatches,
    /// More watches on one stream than allowed.
    TooManyStreamWatches,
    /// More leases than allowed.
    TooManyLeases,
    /// Too many wrong passwords lately.
    TooManyLogins,
    /// More bytes of unfinished messages than there is room for.
    TooMuchUnfinished,
    /// The rest of a message has not come in time.
    MessageLate,
    /// A lease that does not exist.
    LeaseNotFound,
    /// A lease with an id that is in use.
    LeaseExists,
    /// A lease for longer than a lease may live.
    LeaseTtlTooLarge,
    /// A member's state differs from that of the others.
    Corrupt,
    /// Users, roles or permissions forbid it.
    Auth(AuthRefusal),
    /// A wrong password, or a user who does not exist.
    AuthenticationFailed,
    /// A user without a password logs in with one, or a hash in the place of a password that is none.
    NoPasswordUser,
    /// A password that bcrypt would cut.
    PasswordTooLong,
    /// A token that was never given out, or has ended.
    InvalidToken,
    /// A login at a member that can only check tokens.
    VerifyOnly,
    /// A version that is none.
    WrongDowngradeVersion,
    /// A version that cannot be gone down to.
    InvalidDowngradeVersion,
    /// A downgrade is prepared already.
    DowngradeInProgress,
    /// No downgrade is prepared.
    NoDowngrade,
    /// The version to go down from is not known.
    NoClusterVersion,
    /// A lock's lease ended while it was waited for.
    SessionExpired,
    /// An election that nobody has won.
    ElectionNoLeader,
    /// A leadership that is lost.
    ElectionNotLeader,
    /// A request about a leadership that does not say which.
    LeaderMissing,
    /// A member that does not exist.
    MemberNotFound,
    /// A member with an id that is in use.
    MemberExists,
    /// Peer URLs that others are reached at.
    PeerUrlExists,
    /// Peer URLs that are none.
    BadMemberUrls,
    /// Too few members have ever started.
    NotEnoughStarted,
    /// Members are not heard of.
    Unhealthy,
    /// Too many learners.
    TooManyLearners,
    /// To promote who is no learner.
    NotLearner,
    /// To promote who has not caught up.
    LearnerNotReady,
    /// Asked of a learner.
    NotForLearner,
    /// To make a leader of who cannot be one.
    BadLeaderTransferee,
    /// Asked of who does not lead.
    NotLeader,
    /// Nobody leads.
    NoLeader,
    /// The member is going down.
    Stopped,
    /// Not decided in time; the outcome is unknown.
    TimedOut,
}

impl Fault {
    /// All of them, for tests and tables.
    pub const ALL: [Self; 52] = [
        Self::EmptyKey,
        Self::KeyNotFound,
        Self::ValueProvided,
        Self::LeaseProvided,
        Self::TooManyOperations,
        Self::DuplicateKey,
        Self::InvalidApiVersion,
        Self::InvalidSortOption,
        Self::RequestTooLarge,
        Self::Compacted,
        Self::FutureRevision,
        Self::NoSpace,
        Self::TooManyRequests,
        Self::TooManyWatches,
        Self::TooManyStreamWatches,
        Self::TooManyLeases,
        Self::TooManyLogins,
        Self::TooMuchUnfinished,
        Self::MessageLate,
        Self::LeaseNotFound,
        Self::LeaseExists,
        Self::LeaseTtlTooLarge,
        Self::Corrupt,
        Self::AuthenticationFailed,
        Self::NoPasswordUser,
        Self::PasswordTooLong,
        Self::InvalidToken,
        Self::VerifyOnly,
        Self::WrongDowngradeVersion,
        Self::InvalidDowngradeVersion,
        Self::DowngradeInProgress,
        Self::NoDowngrade,
        Self::NoClusterVersion,
        Self::SessionExpired,
        Self::ElectionNoLeader,
        Self::ElectionNotLeader,
        Self::LeaderMissing,
        Self::MemberNotFound,
        Self::MemberExists,
        Self::PeerUrlExists,
        Self::BadMemberUrls,
        Self::NotEnoughStarted,
        Self::Unhealthy,
        Self::TooManyLearners,
        Self::NotLearner,
        Self::LearnerNotReady,
        Self::NotForLearner,
        Self::BadLeaderTransferee,
        Self::NotLeader,
        Self::NoLeader,
        Self::Stopped,
        Self::TimedOut,
    ];

    /// The gRPC code and the text, both part of etcd's contract.
    pub const fn code_and_text(self) -> (Code, &'static str) {
        match self {
            Self::EmptyKey => (Code::InvalidArgument, "etcdserver: key is not provided"),
            Self::KeyNotFound => (Code::InvalidArgument, "etcdserver: key not found"),
            Self::ValueProvided => (Code::InvalidArgument, "etcdserver: value is provided"),
            Self::LeaseProvided => (Code::InvalidArgument, "etcdserver: lease is provided"),
            Self::TooManyOperations => (Code::InvalidArgument, TOO_MANY_OPERATIONS),
            Self::DuplicateKey => (Code::InvalidArgument, DUPLICATE_KEY),
            Self::InvalidApiVersion => (Code::InvalidArgument, "etcdserver: invalid client api version"),
            Self::InvalidSortOption => (Code::InvalidArgument, "etcdserver: invalid sort option"),
            Self::RequestTooLarge => (Code::InvalidArgument, "etcdserver: request is too large"),
            Self::Compacted => (
                Code::OutOfRange,
                "etcdserver: mvcc: required revision has been compacted",
            ),
            Self::FutureRevision => (
                Code::OutOfRange,
                "etcdserver: mvcc: required revision is a future revision",
            ),
            Self::NoSpace => (
                Code::ResourceExhausted,
                "etcdserver: mvcc: database space exceeded",
            ),
            Self::TooManyRequests => (Code::ResourceExhausted, "etcdserver: too many requests"),
            Self::TooManyWatches
            | Self::TooManyStreamWatches
            | Self::TooManyLeases
            | Self::TooManyLogins
            | Self::TooMuchUnfinished
            | Self::MessageLate => bound_code_and_text(self),
            Self::LeaseNotFound => (Code::NotFound, "etcdserver: requested lease not found"),
            Self::LeaseExists => (Code::FailedPrecondition, "etcdserver: lease already exists"),
            Self::LeaseTtlTooLarge => (Code::OutOfRange, "etcdserver: too large lease TTL"),
            Self::Corrupt => (Code::DataLoss, "etcdserver: corrupt cluster"),
            Self::Auth(refusal) => auth_code_and_text(refusal),
            Self::AuthenticationFailed
            | Self::NoPasswordUser
            | Self::PasswordTooLong
            | Self::VerifyOnly
            | Self::InvalidToken => login_code_and_text(self),
            Self::WrongDowngradeVersion
            | Self::InvalidDowngradeVersion
            | Self::DowngradeInProgress
            | Self::NoDowngrade
            | Self::NoClusterVersion => downgrade_code_and_text(self),
            Self::SessionExpired | Self::ElectionNoLeader | Self::ElectionNotLeader | Self::LeaderMissing => {
                (Code::Unknown, recipe_text(self))
            }
            Self::MemberNotFound
            | Self::MemberExists
            | Self::PeerUrlExists
            | Self::BadMemberUrls
            | Self::NotEnoughStarted
            | Self::Unhealthy
            | Self::TooManyLearners
            | Self::NotLearner
            | Self::LearnerNotReady
            | Self::NotForLearner
            | Self::BadLeaderTransferee
            | Self::NotLeader => cluster_code_and_text(self),
            Self::NoLeader => (Code::Unavailable, NO_LEADER),
            Self::Stopped => (Code::Unavailable, "etcdserver: server stopped"),
            Self::TimedOut => (Code::Unavailable, "etcdserver: request timed out"),
        }
    }

    /// As HashKV, Hash, Defragment and Snapshot show it in etcd: what concerns users and roles in the words of etcd's inside
    /// and without a code, the rest as everywhere.
    pub fn in_inner_words(self) -> Status {
        let text = match self {
            Self::Auth(AuthRefusal::UserNotFound) => "auth: user not found".to_owned(),
            Self::Auth(AuthRefusal::OldRevision) => "auth: revision in header is old".to_owned(),
            Self::Auth(_) | Self::InvalidToken => {
                let (_, text) = self.code_and_text();
                text.replacen("etcdserver: ", "auth: ", 1)
            }
            _ => return self.into(),
        };
        Status::unknown(text)
    }

    /// As the Lock and Election services show everything in etcd: without a code.
    pub fn without_code(self) -> Status {
        let (_, text) = self.code_and_text();
        Status::unknown(text)
    }
}

/// What the Cluster service and the moving of leadership refuse.
const fn cluster_code_and_text(fault: Fault) -> (Code, &'static str) {
    use Code::{FailedPrecondition, InvalidArgument, NotFound, Unavailable};
    match fault {
        Fault::MemberNotFound => (NotFound, "etcdserver: member not found"),
        Fault::MemberExists => (FailedPrecondition, "etcdserver: member ID already exist"),
        Fault::PeerUrlExists => (FailedPrecondition, "etcdserver: Peer URLs already exists"),
        Fault::BadMemberUrls => (InvalidArgument, "etcdserver: given member URLs are invalid"),
        Fault::NotEnoughStarted => (
            FailedPrecondition,
            "etcdserver: re-configuration failed due to not enough started members",
        ),
        Fault::TooManyLearners => (
            FailedPrecondition,
            "etcdserver: too many learner members in cluster",
        ),
        Fault::NotLearner => (
            FailedPrecondition,
            "etcdserver: can only promote a learner member",
        ),
        Fault::LearnerNotReady => (
            FailedPrecondition,
            "etcdserver: can only promote a learner member which is in sync with leader",
        ),
        Fault::NotForLearner => (FailedPrecondition, "etcdserver: rpc not supported for learner"),
        Fault::BadLeaderTransferee => (FailedPrecondition, "etcdserver: bad leader transferee"),
        Fault::NotLeader => (FailedPrecondition, "etcdserver: not leader"),
        _ => (Unavailable, "etcdserver: unhealthy cluster"),
    }
}

const TOO_MANY_OPERATIONS: &str = "etcdserver: too many operations in txn request";
const DUPLICATE_KEY: &str = "etcdserver: duplicate key given in txn request";

/// Of a fault that locks and elections can meet.
const fn recipe_text(fault: Fault) -> &'static str {
    match fault {
        Fault::SessionExpired => "mutex: session is expired",
        Fault::ElectionNoLeader => "election: no leader",
        Fault::ElectionNotLeader => "election: not leader",
        _ => "\"leader\" field must be provided",
    }
}

/// At a bound that etcd does not have; the text names the flag.
const fn bound_code_and_text(fault: Fault) -> (Code, &'static str) {
    use Code::{DeadlineExceeded, ResourceExhausted};
    match fault {
        Fault::TooManyWatches => (
            ResourceExhausted,
            "almadia: too many watches on this member (--max-watches)",
        ),
        Fault::TooManyStreamWatches => (
            ResourceExhausted,
            "almadia: too many watches on one stream (--max-watches-per-stream)",
        ),
        Fault::TooManyLeases => (ResourceExhausted, "almadia: too many leases (--max-leases)"),
        Fault::TooManyLogins => (
            ResourceExhausted,
            "almadia: too many wrong passwords, try again in a minute (--max-failed-logins)",
        ),
        Fault::MessageLate => (
            DeadlineExceeded,
            "almadia: the rest of the request did not come in time (--client-body-timeout)",
        ),
        _ => (
            ResourceExhausted,
            "almadia: too many bytes of unfinished requests (--max-unfinished-bytes)",
        ),
    }
}

/// Of a fault that logging in can meet.
const fn login_code_and_text(fault: Fault) -> (Code, &'static str) {
    match fault {
        Fault::AuthenticationFailed => (
            Code::InvalidArgument,
            "etcdserver: authentication failed, invalid user ID or password",
        ),
        // etcd gives these three no code.
        Fault::NoPasswordUser => (
            Code::Unknown,
            "auth: authentication failed, password was given for no password user",
        ),
        Fault::PasswordTooLong => (Code::Unknown, "bcrypt: password length exceeds 72 bytes"),
        Fault::VerifyOnly => (
            Code::Unknown,
            "auth: token signing attempted with verify-only key",
        ),
        _ => (Code::Unauthenticated, "etcdserver: invalid auth token"),
    }
}

/// Of a fault that preparing a downgrade can meet.
const fn downgrade_code_and_text(fault: Fault) -> (Code, &'static str) {
    use Code::{FailedPrecondition, InvalidArgument};
    match fault {
        Fault::WrongDowngradeVersion => (
            InvalidArgument,
            "etcdserver: wrong downgrade target version format",
        ),
        Fault::InvalidDowngradeVersion => (InvalidArgument, "etcdserver: invalid downgrade target version"),
        Fault::DowngradeInProgress => (
            FailedPrecondition,
            "etcdserver: cluster has a downgrade job in progress",
        ),
        Fault::NoDowngrade => (FailedPrecondition, "etcdserver: no inflight downgrade job"),
        _ => (
            FailedPrecondition,
            "etcdserver: cluster version not found during downgrade",
        ),
    }
}

const fn auth_code_and_text(refusal: AuthRefusal) -> (Code, &'static str) {
    use Code::{FailedPrecondition, InvalidArgument, PermissionDenied};
    match refusal {
        AuthRefusal::UserEmpty => (InvalidArgument, "etcdserver: user name is empty"),
        AuthRefusal::OldRevision => (InvalidArgument, "etcdserver: revision of auth store is old"),
        AuthRefusal::PermissionDenied => (PermissionDenied, "etcdserver: permission denied"),
        AuthRefusal::RootUserMissing => (FailedPrecondition, "etcdserver: root user does not exist"),
        AuthRefusal::RootRoleMissing => (
            FailedPrecondition,
            "etcdserver: root user does not have root role",
        ),
        AuthRefusal::UserExists => (FailedPrecondition, "etcdserver: user name already exists"),
        AuthRefusal::UserNotFound => (FailedPrecondition, "etcdserver: user name not found"),
        AuthRefusal::RoleEmpty => (InvalidArgument, "etcdserver: role name is empty"),
        AuthRefusal::RoleExists => (FailedPrecondition, "etcdserver: role name already exists"),
        AuthRefusal::RoleNotFound => (FailedPrecondition, "etcdserver: role name not found"),
        AuthRefusal::RoleNotGranted => (FailedPrecondition, "etcdserver: role is not granted to the user"),
        AuthRefusal::PermissionNotGranted => (
            FailedPrecondition,
            "etcdserver: permission is not granted to the role",
        ),
        AuthRefusal::PermissionNotGiven => (InvalidArgument, "etcdserver: permission not given"),
        AuthRefusal::InvalidManagement => (InvalidArgument, "etcdserver: invalid auth management"),
        AuthRefusal::NotEnabled => (FailedPrecondition, "etcdserver: authentication is not enabled"),
    }
}

/// The text for a missing leader, which also stands in the errors of a status.
pub const NO_LEADER: &str = "etcdserver: no leader";

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        let (code, text) = fault.code_and_text();
        Self::new(code, text)
    }
}

impl From<ProposeError> for Fault {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::Busy => Self::TooManyRequests,
            ProposeError::TimedOut => Self::TimedOut,
            ProposeError::Stopped => Self::Stopped,
            ProposeError::NoSpace => Self::NoSpace,
            ProposeError::Corrupt => Self::Corrupt,
            ProposeError::Malformed => Self::TooManyOperations,
        }
    }
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Busy => Self::TooManyRequests,
            ReadError::NoLeader => Self::NoLeader,
            ReadError::TimedOut => Self::TimedOut,
            ReadError::Stopped => Self::Stopped,
            ReadError::Corrupt => Self::Corrupt,
        }
    }
}

impl From<MemberChangeError> for Fault {
    fn from(error: MemberChangeError) -> Self {
        match error {
            MemberChangeError::Refused(refusal) => match refusal {
                MembershipRefusal::MemberNotFound => Self::MemberNotFound,
                MembershipRefusal::IdTaken => Self::MemberExists,
                MembershipRefusal::PeerUrlTaken => Self::PeerUrlExists,
                MembershipRefusal::NotEnoughStarted => Self::NotEnoughStarted,
                MembershipRefusal::Unhealthy => Self::Unhealthy,
                MembershipRefusal::TooManyLearners => Self::TooManyLearners,
                MembershipRefusal::NotLearner => Self::NotLearner,
                MembershipRefusal::LearnerNotReady => Self::LearnerNotReady,
            },
            MemberChangeError::NoLeader => Self::NoLeader,
            MemberChangeError::TimedOut => Self::TimedOut,
            MemberChangeError::Stopped => Self::Stopped,
            MemberChangeError::Busy => Self::TooManyRequests,
            MemberChangeError::Corrupt => Self::Corrupt,
        }
    }
}

impl From<MoveLeaderError> for Fault {
    fn from(error: MoveLeaderError) -> Self {
        match error {
            MoveLeaderError::NotLeader => Self::NotLeader,
            MoveLeaderError::BadTransferee => Self::BadLeaderTransferee,
            MoveLeaderError::TimedOut => Self::TimedOut,
            MoveLeaderError::Stopped => Self::Stopped,
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::KeyNotFound | Refusal::EmptyOperation => Self::KeyNotFound,
            Refusal::LeaseNotFound => Self::LeaseNotFound,
            Refusal::Compacted => Self::Compacted,
            Refusal::FutureRevision => Self::FutureRevision,
            Refusal::NoSpace => Self::NoSpace,
            Refusal::EmptyKey => Self::EmptyKey,
            Refusal::KeyTooLong => Self::RequestTooLarge,
            Refusal::InvalidSort => Self::InvalidSortOption,
            Refusal::NestedTooDeeply => Self::TooManyOperations,
            Refusal::NotReadOnly => unreachable!("a transaction that writes was read"),
            Refusal::LeaseExists => Self::LeaseExists,
            // Only the leader's own commands carry a term.
            Refusal::StaleTerm => Self::TimedOut,
            Refusal::Corrupt => Self::Corrupt,
            Refusal::DowngradeInProgress => Self::DowngradeInProgress,
            Refusal::NoDowngrade => Self::NoDowngrade,
            Refusal::Auth(refusal) => Self::Auth(refusal),
        }
    }
}
