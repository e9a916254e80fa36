//! What openraft tells about a proposal it was given.
//!
//! Outcomes are found by the asking member when it applies the entry itself, so success needs no word. The one
//! thing worth hearing is a refusal before anything was appended: then it is certain that the command will never
//! be carried out, and it can be proposed elsewhere. "Discarded" is not that: another member may have committed it.

use crate::raft::Types;
use almadia_command::Ticket;
use openraft::errors::ClientWriteError;
use openraft::raft::ClientWriteResult;
use openraft::raft::responder::Responder;
use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;

/// Hears of proposals that were certainly not appended.
pub trait Refusals: Send + Sync + 'static {
    /// `ticket` was refused by the leader of the term it was meant for; nothing entered any log.
    fn refused(&self, ticket: Ticket);
}

/// openraft's responder, one per proposal.
pub struct Verdict<T> {
    ticket: Ticket,
    refusals: Arc<dyn Refusals>,
    result: PhantomData<fn(T)>,
}

impl<T> Verdict<T> {
    /// A responder that tells `refusals` when the proposal with this ticket is refused.
    pub fn new(ticket: Ticket, refusals: Arc<dyn Refusals>) -> Self {
        Self {
            ticket,
            refusals,
            result: PhantomData,
        }
    }
}

impl<T: Send + 'static> Responder<Types, T> for Verdict<T> {
    fn on_complete(self, result: T) {
        // openraft asks for a responder of any T and uses it with this one only.
        let refused = (&result as &dyn Any)
            .downcast_ref::<ClientWriteResult<Types>>()
            .is_some_and(|result| matches!(result, Err(ClientWriteError::ForwardToLeader(_))));
        if refused {
            self.refusals.refused(self.ticket);
        }
    }
}
