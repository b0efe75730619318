//! How to use the layer, by subject: longer than the documentation of an item, and with programs.
//!
//! | page | what is in it |
//! | --- | --- |
//! | [`status`] | 502, 503 or 504, and which layer has failed |
//! | [`pages`] | what a client is shown, the upstream's own errors, pages from elsewhere |
//! | [`bodies`] | bodies that break, and what an abort is worth |
//! | [`grpc`] | gRPC and gRPC-Web |
//! | [`handlers`] | axum, reqwest and `?` |
//! | [`retries`] | second attempts, and second upstreams |
//! | [`uploads`] | the client's part |
//! | [`observing`] | log, metrics, alerts |
//! | [`coming_from`] | nginx, Traefik, Envoy, HAProxy, Caddy, linkerd |

#[doc = include_str!("../guide/bodies.md")]
pub mod bodies {}

#[doc = include_str!("../guide/coming_from.md")]
pub mod coming_from {}

#[doc = include_str!("../guide/grpc.md")]
pub mod grpc {}

#[doc = include_str!("../guide/handlers.md")]
pub mod handlers {}

#[doc = include_str!("../guide/observing.md")]
pub mod observing {}

#[doc = include_str!("../guide/pages.md")]
pub mod pages {}

#[doc = include_str!("../guide/retries.md")]
pub mod retries {}

#[doc = include_str!("../guide/status.md")]
pub mod status {}

#[doc = include_str!("../guide/uploads.md")]
pub mod uploads {}
