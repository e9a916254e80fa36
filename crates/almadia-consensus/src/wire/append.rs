//! The append lane: batches of entries, and what became of each, in the same order.
//!
//! A batch, little-endian: `term u64, member u64, committed u8` (the leader's vote), `previous index u64, term u64`,
//! `committed index u64, term u64`, `count u32`, then per entry `term u64, kind u8, checksum u32, length u32,
//! data`. Positions follow from the previous one. An answer: `tag u8`, then a position or a vote.
//! Entries are slices of the frame: nothing is copied, and each carries its proposer's checksum.

use super::BadFrame;
use crate::raft::{RaftEntry, RaftLogId, RaftVote, Types, from_entry, from_position, from_vote, to_entry};
use crate::raft::{to_position, to_vote};
use almadia_command::{LogIndex, MemberId, Term};
use almadia_wal::EntryKind;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use openraft::raft::{AppendEntriesRequest, StreamAppendError, StreamAppendResult};

const HEADER_BYTES: usize = 17 + 16 + 16 + 4;
const ENTRY_HEADER_BYTES: usize = 8 + 1 + 4 + 4;

/// A batch as bytes.
pub fn encode_batch(batch: &AppendEntriesRequest<Types>) -> Bytes {
    let entries: Vec<almadia_wal::Entry> = batch.entries.iter().map(to_entry).collect();
    let data_bytes: usize = entries
        .iter()
        .map(|entry| ENTRY_HEADER_BYTES + entry.data.len())
        .sum();
    let mut frame = BytesMut::with_capacity(HEADER_BYTES + data_bytes);
    put_vote(&mut frame, &batch.vote);
    put_position(&mut frame, batch.prev_log_id.as_ref());
    put_position(&mut frame, batch.leader_commit.as_ref());
    frame.put_u32_le(u32::try_from(entries.len()).expect("a batch has at most a few thousand entries"));
    for entry in &entries {
        frame.put_u64_le(entry.term.0);
        frame.put_u8(entry.kind as u8);
        frame.put_u32_le(entry.checksum);
        frame.put_u32_le(u32::try_from(entry.data.len()).expect("an entry is at most a few MiB"));
        frame.put_slice(&entry.data);
    }
    frame.freeze()
}

/// The reverse of [`encode_batch`].
///
/// # Errors
/// [`BadFrame`] when the frame is cut, too long, or an entry does not fit its checksum.
pub fn decode_batch(mut frame: Bytes) -> Result<AppendEntriesRequest<Types>, BadFrame> {
    need(&frame, HEADER_BYTES)?;
    let vote = get_vote(&mut frame);
    let prev_log_id = get_position(&mut frame);
    let leader_commit = get_position(&mut frame);
    let count = frame.get_u32_le() as usize;
    // The count is a peer's word: never reserve more than the frame can hold.
    let mut entries = Vec::with_capacity(count.min(frame.len() / ENTRY_HEADER_BYTES));
    let mut index = to_position(prev_log_id.as_ref()).0;
    for _ in 0..count {
        index = LogIndex(
            index
                .0
                .checked_add(1)
                .ok_or_else(|| bad("a position beyond all numbers"))?,
        );
        entries.push(get_entry(&mut frame, index)?);
    }
    if !frame.is_empty() {
        return Err(bad("bytes left over after the last entry"));
    }
    Ok(AppendEntriesRequest {
        vote,
        prev_log_id,
        entries,
        leader_commit,
    })
}

fn get_entry(frame: &mut Bytes, index: LogIndex) -> Result<RaftEntry, BadFrame> {
    need(frame, ENTRY_HEADER_BYTES)?;
    let term = Term(frame.get_u64_le());
    let kind = kind_of(frame.get_u8())?;
    let checksum = frame.get_u32_le();
    let length = frame.get_u32_le() as usize;
    need(frame, length)?;
    let data = frame.split_to(length);
    from_entry(almadia_wal::Entry {
        index,
        term,
        kind,
        checksum,
        data,
    })
    .map_err(|error| bad(&error.to_string()))
}

fn kind_of(number: u8) -> Result<EntryKind, BadFrame> {
    [EntryKind::Blank, EntryKind::Command, EntryKind::Membership]
        .into_iter()
        .find(|kind| *kind as u8 == number)
        .ok_or_else(|| bad("an entry of an unknown kind"))
}

const PERSISTED: u8 = 1;
const CONFLICT: u8 = 2;
const HIGHER_VOTE: u8 = 3;

/// What became of a batch, as bytes.
pub fn encode_answer(answer: &StreamAppendResult<Types>) -> Bytes {
    let mut frame = BytesMut::with_capacity(18);
    match answer {
        Ok(persisted) => {
            frame.put_u8(PERSISTED);
            put_position(&mut frame, persisted.as_ref());
        }
        Err(StreamAppendError::Conflict(at)) => {
            frame.put_u8(CONFLICT);
            put_position(&mut frame, Some(at));
        }
        Err(StreamAppendError::HigherVote(vote)) => {
            frame.put_u8(HIGHER_VOTE);
            put_vote(&mut frame, vote);
        }
    }
    frame.freeze()
}

/// The reverse of [`encode_answer`].
///
/// # Errors
/// [`BadFrame`] when the bytes are no answer.
pub fn decode_answer(mut frame: Bytes) -> Result<StreamAppendResult<Types>, BadFrame> {
    need(&frame, 1)?;
    match frame.get_u8() {
        PERSISTED => {
            need(&frame, 16)?;
            Ok(Ok(get_position(&mut frame)))
        }
        CONFLICT => {
            need(&frame, 16)?;
            let at = get_position(&mut frame).ok_or_else(|| bad("a conflict at no position"))?;
            Ok(Err(StreamAppendError::Conflict(at)))
        }
        HIGHER_VOTE => {
            need(&frame, 17)?;
            Ok(Err(StreamAppendError::HigherVote(get_vote(&mut frame))))
        }
        other => Err(bad(&format!("an answer of the unknown kind {other}"))),
    }
}

fn bad(reason: &str) -> BadFrame {
    BadFrame {
        lane: "append",
        reason: reason.to_owned(),
    }
}

fn need(frame: &Bytes, bytes: usize) -> Result<(), BadFrame> {
    if frame.len() < bytes {
        return Err(bad(&format!("{} bytes where {bytes} are due", frame.len())));
    }
    Ok(())
}

fn put_vote(frame: &mut BytesMut, vote: &RaftVote) {
    let vote = to_vote(vote);
    frame.put_u64_le(vote.term.0);
    frame.put_u64_le(vote.member.0);
    frame.put_u8(u8::from(vote.committed));
}

fn get_vote(frame: &mut Bytes) -> RaftVote {
    let (term, member) = (Term(frame.get_u64_le()), MemberId(frame.get_u64_le()));
    from_vote(&almadia_wal::Vote {
        term,
        member,
        committed: frame.get_u8() != 0,
    })
}

fn put_position(frame: &mut BytesMut, log_id: Option<&RaftLogId>) {
    let (index, term) = to_position(log_id);
    frame.put_u64_le(index.0);
    frame.put_u64_le(term.0);
}

fn get_position(frame: &mut Bytes) -> Option<RaftLogId> {
    let (index, term) = (LogIndex(frame.get_u64_le()), Term(frame.get_u64_le()));
    from_position(index, term)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::Payload;
    use almadia_command::{Proposal, Ticket};
    use openraft::EntryPayload;
    use proptest::prelude::*;

    fn sample() -> AppendEntriesRequest<Types> {
        let vote = from_vote(&almadia_wal::Vote {
            term: Term(3),
            member: MemberId(9),
            committed: true,
        });
        let proposal = Proposal::new(MemberId(9), Ticket(1), b"cmd");
        let payload = EntryPayload::Normal(Payload(proposal));
        let log_id = from_position(LogIndex(5), Term(3)).unwrap();
        AppendEntriesRequest {
            vote,
            prev_log_id: from_position(LogIndex(4), Term(2)),
            entries: vec![RaftEntry { log_id, payload }],
            leader_commit: from_position(LogIndex(4), Term(2)),
        }
    }

    #[test]
    fn golden_bytes_and_back() {
        let bytes = encode_batch(&sample());
        let mut golden = BytesMut::new();
        for number in [3u64, 9] {
            golden.put_u64_le(number);
        }
        golden.put_u8(1);
        for number in [4u64, 2, 4, 2] {
            golden.put_u64_le(number);
        }
        golden.put_u32_le(1);
        golden.put_u64_le(3);
        golden.put_u8(1);
        golden.put_slice(&bytes[HEADER_BYTES + 9..HEADER_BYTES + 13]);
        golden.put_u32_le(19);
        golden.put_slice(&[9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, b'c', b'm', b'd']);
        assert_eq!(bytes, golden);
        let back = decode_batch(bytes.clone()).unwrap();
        assert_eq!(encode_batch(&back), bytes);
    }

    #[test]
    fn a_flipped_bit_in_an_entry_is_noticed() {
        let bytes = encode_batch(&sample());
        for bit in (HEADER_BYTES + ENTRY_HEADER_BYTES) * 8..bytes.len() * 8 {
            let mut damaged = bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_batch(damaged.into()).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn answers_come_back() {
        let vote = from_vote(&almadia_wal::Vote {
            term: Term(3),
            member: MemberId(9),
            committed: false,
        });
        let at = from_position(LogIndex(8), Term(2)).unwrap();
        let answers = [
            Ok(None),
            Ok(Some(at)),
            Err(StreamAppendError::Conflict(at)),
            Err(StreamAppendError::HigherVote(vote)),
        ];
        for answer in answers {
            assert_eq!(decode_answer(encode_answer(&answer)).unwrap(), answer);
        }
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_or_a_batch(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_batch(bytes.clone().into());
            let _ = decode_answer(bytes.into());
        }

        #[test]
        fn a_cut_batch_is_an_error(cut in 0usize..80) {
            let bytes = encode_batch(&sample());
            prop_assume!(cut < bytes.len());
            prop_assert!(decode_batch(bytes.slice(..cut)).is_err());
        }
    }
}
