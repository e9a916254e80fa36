//! Lets an empty data directory in: the id that was allotted to its address becomes its own, once and for all.

use super::question::{Change, Claim};
use super::rules::may_claim;
use crate::founding::{Admission, Admitting};
use crate::member::Member;
use almadia_command::MemberId;

impl Admission for Member {
    fn admit(&self, instance: MemberId, peer_urls: Vec<String>) -> Admitting<'_> {
        Box::pin(async move {
            let claim = Claim {
                instance: instance.0,
                peer_urls,
            };
            // Most who ask are not meant, and ask again and again: the leader need not hear of it.
            let mut members = self.members().into_iter();
            if !members.any(|member| may_claim(&member.info, &claim)) {
                return None;
            }
            match self.change(Change::Claim(claim)).await {
                Ok(changed) => Some(changed.member),
                Err(error) => {
                    tracing::debug!(%instance, %error, "a new member was not admitted");
                    None
                }
            }
        })
    }
}
