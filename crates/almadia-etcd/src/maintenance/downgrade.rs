//! etcd's preparation of a downgrade. The versions are etcd's, whose behaviour is followed; the wish is kept in the log and
//! shown in each status. Almadia's own files have their own format versions and read all earlier ones.

use crate::backend::Backend;
use crate::caller::Caller;
use crate::error::Fault;
use crate::proto::etcdserverpb as pb;
use crate::service::{Replied, Shared};
use crate::wire::Plain;
use almadia_command::{DowngradeChange, Kind};
use almadia_store::Need;
use pb::downgrade_request::DowngradeAction;
use prost::Message;
use tonic::Status;

/// Checks, begins or gives up.
pub(crate) async fn downgrade<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    request: pb::DowngradeRequest,
) -> Result<Replied<Plain<pb::DowngradeResponse>>, Status> {
    let view = shared.readable_view(false).await?;
    let actor = shared.actor(&caller, &view)?;
    view.permits(actor.as_ref(), Need::Root).map_err(Fault::from)?;
    let target = match DowngradeAction::try_from(request.action) {
        Ok(DowngradeAction::Validate) => {
            valid_target(&shared.config.storage_version, &request.version)?;
            if !view.downgrade().target().is_empty() {
                return Err(Fault::DowngradeInProgress.into());
            }
            return Ok(Replied::unlogged(Plain(pb::DowngradeResponse {
                header: Some(shared.read_header(&view)),
                version: shared.config.storage_version.clone(),
            })));
        }
        Ok(DowngradeAction::Enable) => valid_target(&shared.config.storage_version, &request.version)?,
        Ok(DowngradeAction::Cancel) => String::new(),
        Err(_) => return Err(Status::unknown("etcdserver: unknown downgrade action")),
    };
    let change = Kind::Downgrade(DowngradeChange { target });
    let written = shared.write(&caller, change, request.encoded_len()).await?;
    Ok(Replied {
        answer: Plain(pb::DowngradeResponse {
            header: Some(written.header),
            version: shared.config.storage_version.clone(),
        }),
        position: Some(written.position),
    })
}

/// The version one minor release below `current`, if `asked` means that.
fn valid_target(current: &str, asked: &str) -> Result<String, Fault> {
    let asked = major_and_minor(asked).ok_or(Fault::WrongDowngradeVersion)?;
    let (major, minor) = major_and_minor(current).ok_or(Fault::NoClusterVersion)?;
    if minor.checked_sub(1) == Some(asked.1) && asked.0 == major {
        Ok(format!("{major}.{}.0", asked.1))
    } else {
        Err(Fault::InvalidDowngradeVersion)
    }
}

/// Of `3.6` or `3.6.1`.
fn major_and_minor(version: &str) -> Option<(u64, u64)> {
    let numbers: Option<Vec<u64>> = version.split('.').map(|part| part.parse().ok()).collect();
    match numbers?.as_slice() {
        [major, minor] | [major, minor, _] => Some((*major, *minor)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b5_7_only_one_minor_release_below() {
        let target = |asked| valid_target("3.7.0", asked);
        for asked in ["3.6", "3.6.0", "3.6.9"] {
            assert_eq!(target(asked), Ok("3.6.0".to_owned()));
        }
        for asked in ["", "3", "v3.6.0", "3.6.0.0", "3.x", "3.-6", "abc"] {
            assert_eq!(target(asked), Err(Fault::WrongDowngradeVersion), "{asked}");
        }
        for asked in ["3.5.0", "3.7.0", "3.8", "4.6.0", "2.6"] {
            assert_eq!(target(asked), Err(Fault::InvalidDowngradeVersion), "{asked}");
        }
    }
}
