//! Services beside the large ones, over the real edge on a loopback socket: RangeStream (B1.10), gRPC's health (B9.1) and
//! reflection (B9.2).

#[path = "../double/mod.rs"]
mod double;
mod health;
mod range_stream;
mod reflection;

use double::Scene;
use tonic::transport::Channel;

impl Scene {
    async fn channel(&self) -> Channel {
        double::connect(&format!("http://{}", self.address)).await
    }
}
