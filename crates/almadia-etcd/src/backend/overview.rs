//! What the console asks of a member: how all members are, for as long as somebody looks.

use almadia_member::Member;
use std::pin::Pin;

pub use almadia_member::overview::{
    EventKind, FollowerProgress, Lookout as MemberLookout, Report, ReportedEvent, Sighting,
};

/// What a look finds.
pub type Looking<'a> = Pin<Box<dyn Future<Output = Vec<Sighting>> + Send + 'a>>;

/// Looking at the whole cluster.
pub trait OverviewBackend {
    /// Begins to look at all members; costs something only when it is made to look.
    fn lookout(&self) -> Box<dyn Lookout>;
}

/// Looks at all members, again and again.
pub trait Lookout: Send {
    /// Looks once; who does not answer soon is shown without an answer.
    fn look(&mut self) -> Looking<'_>;
}

impl Lookout for MemberLookout {
    fn look(&mut self) -> Looking<'_> {
        Box::pin(Self::look(self))
    }
}

impl OverviewBackend for Member {
    fn lookout(&self) -> Box<dyn Lookout> {
        Box::new(Self::lookout(self))
    }
}
