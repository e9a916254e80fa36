//! The first frame on every connection between members, in both directions: who I am, whom I am looking for.
//!
//! Pure: it turns a [`Hello`] into bytes and back and says whether two of them go together. It never opens a
//! connection and never looks at what travels afterwards. A connection that is refused gets a refusal frame
//! with the reason in plain words, so that the side that dialed can log it.

use almadia_command::{ClusterId, GroupId, MemberId};
use almadia_consensus::Lane;
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The version of the peer protocol that this release speaks.
pub const PROTOCOL_VERSION: u16 = 1;

/// The oldest version of the peer protocol that this release still speaks.
pub const PROTOCOL_VERSION_MIN: u16 = 1;

/// Bytes of a hello or refusal frame at most: a stranger's first frame is read into memory no longer than this.
pub const HELLO_BYTES_MAX: usize = 2048;

/// Bytes of a member's name at most (a DNS name has 253).
pub const NAME_BYTES_MAX: usize = 255;

/// Bytes of a refusal's reason at most; longer ones are cut.
const REASON_BYTES_MAX: usize = 1024;

const MAGIC: [u8; 4] = *b"ALMD";
const KIND_HELLO: u8 = 1;
const KIND_REFUSAL: u8 = 2;
const KIND_REMOVED: u8 = 3;

/// Who speaks and whom it is looking for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The newest protocol version the speaker knows.
    pub version: u16,
    /// The oldest protocol version the speaker knows.
    pub version_min: u16,
    /// The deployment it is configured for.
    pub group: GroupId,
    /// The cluster it belongs to; 0 while it belongs to none.
    pub cluster: ClusterId,
    /// Its id; never 0.
    pub from: MemberId,
    /// Its name.
    pub from_name: String,
    /// The member it is looking for; 0 when it does not know the id (founding) or takes anyone (accepting).
    pub to: MemberId,
    /// The name it is looking for, checked only when `to` is 0; empty takes anyone.
    pub to_name: String,
    /// The lane's number, kept as it came so that an unknown one can be refused by name.
    pub lane: u8,
}

/// What a first frame can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstFrame {
    /// The other side introduces itself.
    Hello(Hello),
    /// The other side refuses us, in its own words.
    Refusal(String),
    /// The other side is of this cluster and knows that we were removed from it.
    Removed(ClusterId),
}

/// Bytes that are no first frame of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// Something else than an Almadia member speaks here.
    #[error("the first bytes are not those of an Almadia member")]
    Magic,
    /// The bytes end too early, are too many, or hold text that is not text.
    #[error("the first frame of a member is damaged")]
    Damaged,
    /// A kind of first frame that this release does not know.
    #[error("the first frame is of kind {0}, which this release does not know")]
    Kind(u8),
}

/// Why two members do not talk to each other, in words for the log of either side.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelloRefusal {
    /// No protocol version is spoken by both.
    #[error("{name} speaks peer protocol {theirs_min} to {theirs}, this member {ours_min} to {ours}")]
    Version {
        /// The other member's name.
        name: String,
        /// Its oldest version.
        theirs_min: u16,
        /// Its newest version.
        theirs: u16,
        /// Our oldest version.
        ours_min: u16,
        /// Our newest version.
        ours: u16,
    },
    /// Another deployment: the addresses or the tokens are mixed up.
    #[error("{name} is of another group: {theirs}, this member is of group {ours}")]
    Group {
        /// The other member's name.
        name: String,
        /// Its group.
        theirs: GroupId,
        /// Our group.
        ours: GroupId,
    },
    /// The same deployment, but founded apart (for example before its data was wiped).
    #[error("{name} belongs to another cluster: {theirs}, this member belongs to {ours}")]
    Cluster {
        /// The other member's name.
        name: String,
        /// Its cluster.
        theirs: ClusterId,
        /// Our cluster.
        ours: ClusterId,
    },
    /// Only founding is spoken before there is a cluster.
    #[error("{name} does not belong to a cluster yet")]
    NotFounded {
        /// The name of the member without a cluster.
        name: String,
    },
    /// An address that leads to somebody else than it should.
    #[error("looking for {wanted}, found {found}")]
    Member {
        /// Who was looked for.
        wanted: String,
        /// Who is here.
        found: String,
    },
    /// A member that reached itself.
    #[error("{name} was reached by itself: the address of another member leads back to it")]
    Myself {
        /// The member's name.
        name: String,
    },
    /// It belonged to the cluster once.
    #[error("{name}, member {member}, was removed from cluster {cluster}; its id is never used again")]
    Removed {
        /// The other member's name.
        name: String,
        /// Its id.
        member: MemberId,
        /// Our cluster.
        cluster: ClusterId,
    },
    /// A connection for something this release does not know, or not for what was asked.
    #[error("{name} wants lane {lane}, which is not known here")]
    Lane {
        /// The other member's name.
        name: String,
        /// The lane's number.
        lane: u8,
    },
}

impl Hello {
    /// The lane, when this release knows it.
    pub fn known_lane(&self) -> Option<Lane> {
        Lane::from_number(self.lane)
    }

    /// The bytes of the first frame.
    ///
    /// # Panics
    /// When a name is longer than [`NAME_BYTES_MAX`]: the configuration has been checked for that.
    pub fn encode(&self) -> Bytes {
        let mut bytes = start(KIND_HELLO);
        bytes.put_u16_le(self.version);
        bytes.put_u16_le(self.version_min);
        bytes.put_slice(&self.group.0);
        bytes.put_u64_le(self.cluster.get());
        bytes.put_u64_le(self.from.get());
        bytes.put_u64_le(self.to.get());
        bytes.put_u8(self.lane);
        for name in [&self.from_name, &self.to_name] {
            assert!(
                name.len() <= NAME_BYTES_MAX,
                "a configured name is longer than {NAME_BYTES_MAX} bytes"
            );
            put_text(&mut bytes, name);
        }
        assert!(bytes.len() <= HELLO_BYTES_MAX);
        bytes.freeze()
    }
}

/// The bytes of a refusal with its reason.
pub fn encode_refusal(reason: &str) -> Bytes {
    let mut end = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut bytes = start(KIND_REFUSAL);
    put_text(&mut bytes, &reason[..end]);
    assert!(bytes.len() <= HELLO_BYTES_MAX);
    bytes.freeze()
}

/// The bytes that tell a member that it was removed from `cluster`.
pub fn encode_removed(cluster: ClusterId) -> Bytes {
    let mut bytes = start(KIND_REMOVED);
    bytes.put_u64_le(cluster.get());
    bytes.freeze()
}

/// Reads a first frame. Bytes after the known fields are ignored: a later version may add some.
///
/// # Errors
/// [`HelloError`], whatever the bytes; never panics.
pub fn decode(mut bytes: &[u8]) -> Result<FirstFrame, HelloError> {
    if bytes.len() > HELLO_BYTES_MAX {
        return Err(HelloError::Damaged);
    }
    if bytes.len() < MAGIC.len() || bytes[..MAGIC.len()] != MAGIC {
        return Err(HelloError::Magic);
    }
    bytes.advance(MAGIC.len());
    match bytes.try_get_u8().map_err(|_| HelloError::Damaged)? {
        KIND_HELLO => decode_hello(bytes)
            .ok_or(HelloError::Damaged)
            .map(FirstFrame::Hello),
        KIND_REFUSAL => take_text(&mut bytes)
            .ok_or(HelloError::Damaged)
            .map(FirstFrame::Refusal),
        KIND_REMOVED => bytes
            .try_get_u64_le()
            .map_err(|_| HelloError::Damaged)
            .map(|cluster| FirstFrame::Removed(ClusterId(cluster))),
        kind => Err(HelloError::Kind(kind)),
    }
}

/// Do two members go together? `ours` is what this side says, `theirs` what came. Either side asks this, and
/// both come to the same answer about group, cluster and version; each checks that it is who the other wants.
///
/// # Errors
/// [`HelloRefusal`], the first of the reasons that holds.
pub fn check(ours: &Hello, theirs: &Hello) -> Result<(), HelloRefusal> {
    let name = || theirs.from_name.clone();
    if theirs.version < ours.version_min || ours.version < theirs.version_min {
        return Err(HelloRefusal::Version {
            name: name(),
            theirs_min: theirs.version_min,
            theirs: theirs.version,
            ours_min: ours.version_min,
            ours: ours.version,
        });
    }
    if ours.group != theirs.group {
        return Err(HelloRefusal::Group {
            name: name(),
            theirs: theirs.group,
            ours: ours.group,
        });
    }
    let lane = match theirs.known_lane() {
        Some(lane) if lane as u8 == ours.lane => lane,
        _ => {
            return Err(HelloRefusal::Lane {
                name: name(),
                lane: theirs.lane,
            });
        }
    };
    check_members(ours, theirs, lane)?;
    check_clusters(ours, theirs, lane)
}

fn check_members(ours: &Hello, theirs: &Hello, lane: Lane) -> Result<(), HelloRefusal> {
    if theirs.from == ours.from {
        return Err(HelloRefusal::Myself {
            name: theirs.from_name.clone(),
        });
    }
    if theirs.from.get() == 0 {
        return Err(mismatch("a member with an id", theirs));
    }
    for (seeker, found) in [(ours, theirs), (theirs, ours)] {
        let right = match seeker.to.get() {
            0 => seeker.to_name.is_empty() || seeker.to_name == found.from_name,
            id => id == found.from.get(),
        };
        if !right {
            return Err(mismatch(
                &format!("member {} {}", seeker.to, seeker.to_name),
                found,
            ));
        }
    }
    // One of the two has dialed, and it must have said whom it wants: an id, or in founding a name.
    let named = |hello: &Hello| hello.to.get() != 0 || (lane == Lane::Founding && !hello.to_name.is_empty());
    if !named(ours) && !named(theirs) {
        return Err(mismatch("nobody in particular", ours));
    }
    Ok(())
}

fn check_clusters(ours: &Hello, theirs: &Hello, lane: Lane) -> Result<(), HelloRefusal> {
    let without = [theirs, ours].into_iter().find(|hello| hello.cluster.get() == 0);
    match without {
        Some(_) if lane == Lane::Founding => Ok(()),
        Some(hello) => Err(HelloRefusal::NotFounded {
            name: hello.from_name.clone(),
        }),
        None if ours.cluster == theirs.cluster => Ok(()),
        None => Err(HelloRefusal::Cluster {
            name: theirs.from_name.clone(),
            theirs: theirs.cluster,
            ours: ours.cluster,
        }),
    }
}

fn mismatch(wanted: &str, found: &Hello) -> HelloRefusal {
    HelloRefusal::Member {
        wanted: wanted.to_owned(),
        found: format!("member {} {}", found.from, found.from_name),
    }
}

fn start(kind: u8) -> BytesMut {
    let mut bytes = BytesMut::with_capacity(128);
    bytes.put_slice(&MAGIC);
    bytes.put_u8(kind);
    bytes
}

fn put_text(bytes: &mut BytesMut, text: &str) {
    bytes.put_u16_le(u16::try_from(text.len()).expect("texts of a first frame are bounded by their callers"));
    bytes.put_slice(text.as_bytes());
}

fn take_text(bytes: &mut &[u8]) -> Option<String> {
    let len = usize::from(bytes.try_get_u16_le().ok()?);
    let text = std::str::from_utf8(bytes.get(..len)?).ok()?.to_owned();
    bytes.advance(len);
    Some(text)
}

fn decode_hello(mut bytes: &[u8]) -> Option<Hello> {
    let version = bytes.try_get_u16_le().ok()?;
    let version_min = bytes.try_get_u16_le().ok()?;
    let mut group = [0; 16];
    bytes.try_copy_to_slice(&mut group).ok()?;
    let cluster = ClusterId(bytes.try_get_u64_le().ok()?);
    let from = MemberId(bytes.try_get_u64_le().ok()?);
    let to = MemberId(bytes.try_get_u64_le().ok()?);
    let lane = bytes.try_get_u8().ok()?;
    let from_name = take_text(&mut bytes)?;
    let to_name = take_text(&mut bytes)?;
    if from_name.len() > NAME_BYTES_MAX || to_name.len() > NAME_BYTES_MAX {
        return None;
    }
    Some(Hello {
        version,
        version_min,
        group: GroupId(group),
        cluster,
        from,
        from_name,
        to,
        to_name,
        lane,
    })
}

#[cfg(test)]
mod tests;
