//! What is served to those who come in by an entrance: a member can have one for everything, or one for gRPC and one for HTTP,
//! and one where supervisors look without being let near anything else.

/// What is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Served {
    /// gRPC and HTTP.
    #[default]
    Everything,
    /// gRPC alone.
    Grpc,
    /// HTTP alone.
    Http,
    /// Metrics and health alone.
    Metrics,
}

impl Served {
    /// Whether gRPC is.
    pub(crate) fn has_grpc(self) -> bool {
        matches!(self, Self::Everything | Self::Grpc)
    }

    /// Whether all of HTTP is.
    pub(crate) fn has_http(self) -> bool {
        matches!(self, Self::Everything | Self::Http)
    }

    /// Whether metrics and health are.
    pub(crate) fn has_metrics(self) -> bool {
        self != Self::Grpc
    }
}
