//! Identity: one cluster comes of a group, and an id belongs to one disk for ever. So a wiped member can never vote under its
//! old id.

use super::Glimpse;
use almadia_command::{ClusterId, MemberId};
use std::collections::BTreeMap;

/// Which disk each id was seen on, and the cluster.
#[derive(Default)]
pub struct Identities {
    disks: BTreeMap<MemberId, (usize, u64)>,
    cluster: Option<ClusterId>,
}

impl Identities {
    /// A member has started.
    pub fn check(&mut self, glimpse: &Glimpse) -> Result<(), String> {
        let cluster = *self.cluster.get_or_insert(glimpse.cluster);
        if cluster != glimpse.cluster {
            return Err(format!("two clusters: {cluster} and {}", glimpse.cluster));
        }
        let disk = (glimpse.host, glimpse.disk);
        let first = *self.disks.entry(glimpse.id).or_insert(disk);
        if first != disk {
            return Err(format!(
                "id {} was given to disk {} of m{} and to disk {} of m{}",
                glimpse.id, first.1, first.0, disk.1, disk.0
            ));
        }
        Ok(())
    }
}
