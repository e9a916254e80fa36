//! The double as the maintenance service sees it.

use super::Double;
use almadia_etcd::MaintenanceBackend;

impl MaintenanceBackend for Double {}
