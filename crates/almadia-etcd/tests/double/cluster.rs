//! The double as the cluster service sees it.

use super::Double;
use almadia_etcd::ClusterBackend;

impl ClusterBackend for Double {}
