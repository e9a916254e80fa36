//! Members, alarms, hashes and snapshots of the fake.

use almadia_etcd::proto::etcdserverpb::alarm_request::AlarmAction;
use almadia_etcd::proto::etcdserverpb::cluster_server::Cluster;
use almadia_etcd::proto::etcdserverpb::maintenance_server::Maintenance;
use almadia_etcd::proto::etcdserverpb::*;
use aws_lc_rs::digest::{SHA256, digest};
use tonic::{Request, Response, Status};

use super::{Answer, Fake, Service, State, Stream, stream};

/// The member that the fake says it is.
const MEMBER: u64 = 2;
/// Another member of its cluster, which was added.
const ADDED: u64 = 0xadd;

/// What care has to do with.
#[derive(Debug, Default)]
pub struct Care {
    /// Whether RangeStream is there.
    pub streams_ranges: bool,
    alarms: Vec<AlarmMember>,
    members: Vec<Member>,
    /// What was asked of it, in order.
    acts: Vec<String>,
    snapshot: Vec<Result<Vec<u8>, ()>>,
    hash: u32,
}

impl Fake {
    /// Raises the alarm that there is no room.
    pub fn raise_alarm(&self) {
        let alarm = AlarmMember {
            member_id: MEMBER,
            alarm: AlarmType::Nospace.into(),
        };
        self.shared.lock().care.alarms.push(alarm);
    }

    /// What was asked of the members, in order.
    pub fn acts(&self) -> Vec<String> {
        self.shared.lock().care.acts.clone()
    }

    /// Lets there be streams of ranges, as in etcd 3.7.
    pub fn stream_ranges(&self) {
        self.shared.lock().care.streams_ranges = true;
    }

    /// What the members have as snapshot: these bytes in pieces, and their sum; `is_whole`: or a broken stream instead.
    pub fn hold_snapshot(&self, content: &[u8], is_whole: bool) {
        let mut pieces: Vec<_> = content.chunks(1000).map(|piece| Ok(piece.to_vec())).collect();
        pieces.push(if is_whole {
            Ok(digest(&SHA256, content).as_ref().to_vec())
        } else {
            Err(())
        });
        self.shared.lock().care.snapshot = pieces;
    }

    /// The same with a sum that is wrong.
    pub fn hold_rotten_snapshot(&self, content: &[u8]) {
        self.hold_snapshot(content, true);
        self.shared.lock().care.snapshot[0] = Ok(vec![0; 1000]);
    }

    /// Lets every answer to HashKV be another one.
    pub fn differ_in_hashes(&self) {
        self.shared.lock().care.hash = 1;
    }
}

impl Service {
    fn act(&self, act: String) {
        self.state().care.acts.push(act);
    }

    fn members(&self, state: &State) -> Vec<Member> {
        let own = Member {
            id: MEMBER,
            name: "almadia-1".to_owned(),
            peer_ur_ls: vec!["http://p1:2380".to_owned()],
            client_ur_ls: vec![format!("http://{}", self.address)],
            is_learner: false,
        };
        [vec![own], state.care.members.clone()].concat()
    }
}

#[tonic::async_trait]
impl Cluster for Service {
    async fn member_list(&self, _: Request<MemberListRequest>) -> Answer<MemberListResponse> {
        let members = self.members(&self.state());
        Ok(Response::new(MemberListResponse {
            header: None,
            members,
        }))
    }

    async fn member_add(&self, request: Request<MemberAddRequest>) -> Answer<MemberAddResponse> {
        let request = request.into_inner();
        let mut state = self.state();
        let member = Member {
            id: ADDED,
            peer_ur_ls: request.peer_ur_ls,
            is_learner: request.is_learner,
            ..Member::default()
        };
        state.care.members.push(member.clone());
        let members = self.members(&state);
        Ok(Response::new(MemberAddResponse {
            header: None,
            member: Some(member),
            members,
        }))
    }

    async fn member_remove(&self, request: Request<MemberRemoveRequest>) -> Answer<MemberRemoveResponse> {
        self.act(format!("remove {:x}", request.into_inner().id));
        Ok(Response::new(MemberRemoveResponse::default()))
    }

    async fn member_update(&self, request: Request<MemberUpdateRequest>) -> Answer<MemberUpdateResponse> {
        let request = request.into_inner();
        self.act(format!(
            "update {:x} {}",
            request.id,
            request.peer_ur_ls.join(",")
        ));
        Ok(Response::new(MemberUpdateResponse::default()))
    }

    async fn member_promote(&self, request: Request<MemberPromoteRequest>) -> Answer<MemberPromoteResponse> {
        self.act(format!("promote {:x}", request.into_inner().id));
        Ok(Response::new(MemberPromoteResponse::default()))
    }
}

#[tonic::async_trait]
impl Maintenance for Service {
    type SnapshotStream = Stream<SnapshotResponse>;

    async fn status(&self, request: Request<StatusRequest>) -> Answer<StatusResponse> {
        self.check_token(request.metadata())?;
        let state = self.state();
        let (leader, raft_term) = (MEMBER, 94);
        Ok(Response::new(StatusResponse {
            header: Self::header(&state),
            leader,
            raft_term,
            ..Default::default()
        }))
    }

    async fn alarm(&self, request: Request<AlarmRequest>) -> Answer<AlarmResponse> {
        let (request, mut state) = (request.into_inner(), self.state());
        let alarms = state.care.alarms.clone();
        if request.action == i32::from(AlarmAction::Deactivate) {
            let is_it =
                |alarm: &AlarmMember| (alarm.member_id, alarm.alarm) == (request.member_id, request.alarm);
            state.care.alarms.retain(|alarm| !is_it(alarm));
        }
        Ok(Response::new(AlarmResponse { header: None, alarms }))
    }

    async fn defragment(&self, _: Request<DefragmentRequest>) -> Answer<DefragmentResponse> {
        self.act("defragment".to_owned());
        Ok(Response::new(DefragmentResponse::default()))
    }

    async fn hash(&self, _: Request<HashRequest>) -> Answer<HashResponse> {
        Err(Status::unimplemented("not here"))
    }

    async fn hash_kv(&self, request: Request<HashKvRequest>) -> Answer<HashKvResponse> {
        let mut state = self.state();
        state.care.hash *= 2;
        Ok(Response::new(HashKvResponse {
            header: Self::header(&state),
            hash: 0xab + state.care.hash,
            compact_revision: -1,
            hash_revision: request.into_inner().revision,
        }))
    }

    async fn snapshot(&self, _: Request<SnapshotRequest>) -> Answer<Self::SnapshotStream> {
        let pieces = self.state().care.snapshot.clone();
        let pieces = pieces.into_iter().map(|piece| match piece {
            Ok(blob) => Ok(SnapshotResponse {
                blob: blob.into(),
                version: "3.5.30".to_owned(),
                ..SnapshotResponse::default()
            }),
            Err(()) => Err(Status::unavailable("etcdserver: server stopped")),
        });
        Ok(Response::new(stream(pieces.collect())))
    }

    async fn move_leader(&self, request: Request<MoveLeaderRequest>) -> Answer<MoveLeaderResponse> {
        self.act(format!("lead {:x}", request.into_inner().target_id));
        Ok(Response::new(MoveLeaderResponse::default()))
    }

    async fn downgrade(&self, request: Request<DowngradeRequest>) -> Answer<DowngradeResponse> {
        let request = request.into_inner();
        self.act(format!("downgrade {} {}", request.action, request.version));
        Ok(Response::new(DowngradeResponse {
            header: None,
            version: "3.5.0".to_owned(),
        }))
    }
}
