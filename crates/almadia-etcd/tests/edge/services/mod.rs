//! Services beside the large ones, over the real edge on a loopback socket: RangeStream (B1.10), gRPC's health (B9.1) and
//! reflection (B9.2).

mod health;
mod range_stream;
mod reflection;

use crate::double::Scene;
use tonic::transport::Channel;

impl Scene {
    async fn channel(&self) -> Channel {
        crate::double::connect(&format!("http://{}", self.address)).await
    }
}
