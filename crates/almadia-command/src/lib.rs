//! What can stand in Almadia's log, as types and as bytes.
//!
//! A [`Command`] is a wish that every member carries out alike. It travels inside a [`Proposal`], which says who
//! asked (so that the asking member finds the outcome when it applies the entry itself) and carries the checksum
//! that follows the bytes from the proposer over the wire to every disk.
//!
//! This crate never changes the meaning of bytes that have been released: fields may be added, never reused.

mod auth;
mod command;
mod ids;
mod lease;
pub mod planted;
mod proposal;

pub use auth::{
    Actor, AuthChange, AuthChangeKind, AuthDisable, AuthEnable, Permission, RoleGrantPermission, RoleName,
    RoleRevokePermission, UserAdd, UserChangePassword, UserName, UserRole,
};
pub use command::{
    AlarmChange, AlarmKind, Command, Compact, Compare, CompareResult, CompareTarget, DecodeError,
    DeleteRange, DowngradeChange, Kind, Operation, OperationKind, Put, Range, SortOrder, SortTarget, Txn,
};
pub use ids::{ClusterId, GroupId, LeaseId, LogIndex, MemberId, Revision, Term};
pub use lease::{LeaseCheckpoint, LeaseGrant, LeaseRemaining, LeaseRevoke};
pub use proposal::{Proposal, ProposalError, Ticket};
