//! The double as the lease service sees it.

use super::Double;
use almadia_etcd::LeaseBackend;

impl LeaseBackend for Double {}
