//! Identity: one cluster comes of a group, and an id belongs to one disk for ever. So a wiped member can never vote under its
//! old id.

use super::Glimpse;
use almadia_command::{ClusterId, MemberId};
use std::collections::BTreeMap;

/// Which disk each id was seen on, and the cluster.
#[derive(Default)]
pub struct Identities {
    volumes: BTreeMap<MemberId, (usize, u64)>,
    cluster: Option<ClusterId>,
}

impl Identities {
    /// A member has started.
    pub fn check(&mut self, glimpse: &Glimpse) -> Result<(), String> {
        let cluster = *self.cluster.get_or_insert(glimpse.cluster);
        if cluster != glimpse.cluster {
            return Err(format!("two clusters: {cluster} and {}", glimpse.cluster));
        }
        let (machine, disk) = glimpse.volume;
        let first = *self.volumes.entry(glimpse.id).or_insert(glimpse.volume);
        if first != glimpse.volume {
            return Err(format!(
                "id {} was given to disk {} of m{} and to disk {disk} of m{machine}",
                glimpse.id, first.1, first.0
            ));
        }
        Ok(())
    }
}
