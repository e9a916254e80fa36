//! The double as the watch service sees it.

use super::Double;
use almadia_etcd::WatchBackend;

impl WatchBackend for Double {}
