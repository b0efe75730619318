//! The layer among mocks, in paused time.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a test that panics has failed"
)]

mod allocations;
mod answers;
mod attempts;
mod bodies;
mod clock;
mod coming_from;
mod fallback;
mod formats;
mod grpc;
mod handed_on;
mod heads;
mod held;
mod held_bodies;
mod house;
mod intercepts;
mod kinds;
mod languages;
mod left;
mod limits;
mod mock;
mod observed;
mod per_request;
mod readers;
mod readiness;
mod reasons;
mod reported;
mod second_upstream;
mod shape;
mod success;
mod timers;
mod to_upstream;
mod uploads;
mod upstreams;

#[cfg(all(feature = "json", feature = "proxy-status"))]
mod hops;
#[cfg(feature = "tracing")]
mod log;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "metrics")]
mod monitoring;
#[cfg(all(feature = "html", feature = "json"))]
mod negotiation;
#[cfg(all(feature = "hyper-util", feature = "json", feature = "tower", feature = "tracing"))]
mod readme;
#[cfg(all(feature = "json", feature = "proxy-status"))]
mod redaction;
#[cfg(feature = "retry")]
mod retry;
#[cfg(feature = "tower")]
mod stacks;
#[cfg(feature = "template")]
mod templates;
