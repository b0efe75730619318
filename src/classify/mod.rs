//! From an error to a verdict: which errors mean what.
//!
//! The layer reads errors by type along their chain of sources, never by their text. What it cannot know is an error type of
//! your own. A reader that you add is asked after ours, and wins on what it sets:
//!
//! ```
//! use tower_bad_gateway::{BadGatewayLayer, FailureKind, classify::Cause};
//!
//! #[derive(Debug)]
//! struct PoolExhausted;
//! # impl std::fmt::Display for PoolExhausted {
//! #     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("pool exhausted") }
//! # }
//! # impl std::error::Error for PoolExhausted {}
//!
//! let layer = BadGatewayLayer::new().classify(|cause: &Cause<'_>| {
//!     cause.find::<PoolExhausted>().map(|_| FailureKind::ConnectionLimitReached)
//! });
//! ```
//!
//! Without the layer, [`Failure::from_error`] does the same with the readers of this crate.
//!
//! # What is read
//!
//! | errors of | feature |
//! | --- | --- |
//! | `std::io` (by kind and number), tokio's timers, tasks and semaphores, `http`, this crate's own | always |
//! | hyper, h2, hyper-util's client and its connector | `hyper-util` |
//! | hyper-util's connectors through a proxy | `hyper-util-proxy-0_1` |
//! | rustls | `rustls` |
//! | tower's timeout, load shed, buffer and balance | `tower` |
//! | length limits of http-body-util's bodies | `http-body-util-0_1` |
//! | timeouts of tower-http's bodies | `tower-http-0_6`, `tower-http-0_7` |
//! | reqwest and reqwest-middleware | `reqwest-0_13`, `reqwest-middleware-0_5` |
//! | tonic's channel and client | `tonic-0_14` |
//!
//! An error that no reader knows is [`Unclassified`](FailureKind::Unclassified): a 502, blamed on the upstream.
//!
//! # Order
//!
//! 1. A [`Failure`] or a [`BodyError`](crate::body::BodyError), as the error itself or among its sources, is taken as it is, and no reader
//!    is asked; only its retry safety becomes, in a layer, that of the whole call. The sources end where [`Cause`] says.
//! 2. This crate's readers are asked, the most specific ones first; the first answer is the verdict. What stands around the error adds
//!    how far the call had come, and takes back what cannot be so there.
//! 3. Readers of users are asked in the order in which they were added. The first answer wins over the verdict so far on each part that it
//!    sets; [`Verdict`] says what becomes of the others.
//! 4. What is left open gets the defaults of the kind.
//!
//! All of this happens only after a failure, inside of a poll of the service or of the body: a reader must not block.
//!
//! # Not for
//!
//! Responses of any status ([`validate`](crate::validate) judges those); errors of the client's own body below hyper or in the
//! [`RequestBodyTap`](crate::RequestBodyTap), which are not shown to readers of users; and time limits of the layer, which need no reading.
//!
//! # Recipes
//!
//! For libraries that hide what they know, or whose errors this crate has no reader for:
//!
//! | library | what to do |
//! | --- | --- |
//! | native-tls, openssl | a reader that finds `native_tls::Error` or `openssl::ssl::Error`: [`TlsProtocolError`](FailureKind::TlsProtocolError) and [`Phase::Tls`]. Do not set [`NotSent`](crate::failure::RetrySafety::NotSent): these errors also come from a connection that is in use, and for one that is being opened the layer sets `NotSent` by itself |
//! | hyper-tls | `ForceHttpsButUriNotHttps` is a [`ProxyConfigurationError`](FailureKind::ProxyConfigurationError) |
//! | hickory-resolver | `NetError::Timeout` is a [`DnsTimeout`](FailureKind::DnsTimeout), any other a [`DnsError`](FailureKind::DnsError); below hyper-util's connector only the first needs a reader |
//! | tower-resilience | its errors have no source, so no reader can look inside: `.map_err(..)` right outside of it, which takes the enum apart and makes a [`Failure`] of each variant, by `Failure::from_error` of the error inside |
//! | axum-reverse-proxy | it answers 502 itself, with a `ProxyError` in the extensions: a [validator](crate::BadGatewayLayer::validate) that finds it there |
//! | a `Buffer`, filter or middleware that makes a text of an error | nothing; give it an error type |
//!
//! ```
//! use tower_bad_gateway::{BadGatewayLayer, FailureKind, classify::{Cause, Verdict}, failure::Phase};
//! # mod native_tls {
//! #     #[derive(Debug)]
//! #     pub struct Error;
//! #     impl std::fmt::Display for Error {
//! #         fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("certificate") }
//! #     }
//! #     impl std::error::Error for Error {}
//! # }
//!
//! let layer = BadGatewayLayer::new().classify(|cause: &Cause<'_>| {
//!     let verdict = Verdict::new(FailureKind::TlsProtocolError).phase(Phase::Tls);
//!     cause.find::<native_tls::Error>().map(|_| verdict)
//! });
//! ```

mod cause;
mod chain;
#[cfg(feature = "hyper-util")]
mod h2;
mod http;
#[cfg(feature = "http-body-util-0_1")]
mod http_body_util;
#[cfg(feature = "hyper-util")]
mod hyper;
#[cfg(feature = "hyper-util")]
mod hyper_util;
#[cfg(feature = "hyper-util-proxy-0_1")]
mod hyper_util_proxy;
mod io;
mod own;
mod place;
#[cfg(feature = "reqwest-0_13")]
mod reqwest;
#[cfg(feature = "reqwest-middleware-0_5")]
mod reqwest_middleware;
#[cfg(feature = "rustls")]
mod rustls;
mod time;
mod tokio;
#[cfg(feature = "tonic-0_14")]
mod tonic;
#[cfg(feature = "tower")]
mod tower;
#[cfg(any(feature = "tower-http-0_6", feature = "tower-http-0_7"))]
mod tower_http;
mod upload;
mod verdict;

use std::{error::Error, sync::Arc};

#[cfg(feature = "tower-http")]
pub(crate) use self::own::find_failure_in_any;
#[cfg(feature = "tonic-0_14")]
pub(crate) use self::tonic::status;
pub use self::{
    cause::{Cause, Causes},
    chain::PrivateChain,
    verdict::Verdict,
};
pub(crate) use self::{
    own::already_reported,
    upload::{stalled_upload, upload},
};
use crate::{
    caught::caught,
    context::RequestContent,
    failure::{BoxError, Failure, FailureKind, Phase, RetrySafety},
};

/// Reads an error that came out of the wrapped service.
///
/// A reader runs once for each error of `poll_ready`, of a call or of a response body, except for errors that hold a [`Failure`] already.
/// It runs inside of a poll of the service or of the body, so it must not block. It should find the types it knows and answer
/// `None` to all other errors: an answer to everything hides what the readers of this crate know of the kind.
///
/// A reader that panics counts as one that does not know the error.
///
/// Implemented by closures from `&Cause` to an `Option` of a [`FailureKind`] or [`Verdict`]; write the type of the argument
/// out, as in the example of the [module](self).
pub trait Classify: Send + Sync {
    /// Says what the error means, or `None` to leave it to the next reader.
    fn classify(&self, cause: &Cause<'_>) -> Option<Verdict>;
}

impl<F, V> Classify for F
where
    F: Fn(&Cause<'_>) -> Option<V> + Send + Sync,
    V: Into<Verdict>,
{
    fn classify(&self, cause: &Cause<'_>) -> Option<Verdict> {
        self(cause).map(Into::into)
    }
}

impl Failure {
    /// Reads an error of a call with the readers of this crate, as the layer does. For the error of a response body there is
    /// [`from_body_error`](Self::from_body_error): the same error means something else there.
    ///
    /// Its [`retry_safety`](Self::retry_safety) is that of *the attempt that failed*: what has redirected or repeated the call
    /// before is not in the error. Below an error of reqwest or its middleware, which do both, it is unknown (features
    /// `reqwest-0_13` and `reqwest-middleware-0_5`).
    ///
    /// hyper says the same of a request whose body failed and of a connection whose task is gone. Here both are blamed on the client;
    /// the layer knows whether there was a body at all.
    ///
    /// A `Failure` among the sources is returned as it is. What no reader knows is [`FailureKind::Unclassified`], which is a
    /// 502. The phase is [`Phase::Unknown`] unless the error tells it. Readers of users are not asked: they belong to a layer.
    ///
    /// ```
    /// use tower_bad_gateway::{Failure, FailureKind};
    ///
    /// let error = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    /// assert_eq!(Failure::from_error(error).kind(), FailureKind::ConnectionTerminated);
    /// ```
    #[must_use]
    pub fn from_error(error: impl Into<BoxError>) -> Self {
        failure(error.into(), Phase::Unknown, RequestContent::Unwatched, &[])
    }

    /// Reads an error of a response body: the head has been received, and the request has been processed at least in part.
    ///
    /// A `Failure` among the sources is returned as it is. Of any other error the phase is [`Phase::ResponseBody`], or
    /// [`Phase::RequestBody`] where the client's own body broke the exchange, and the retry safety is [`RetrySafety::Unknown`].
    ///
    /// ```
    /// use tower_bad_gateway::{Failure, failure::{Phase, RetrySafety}};
    ///
    /// let error = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    /// let failure = Failure::from_body_error(error);
    /// assert_eq!((failure.phase(), failure.retry_safety()), (Phase::ResponseBody, RetrySafety::Unknown));
    /// ```
    #[must_use]
    pub fn from_body_error(error: impl Into<BoxError>) -> Self {
        failure(error.into(), Phase::ResponseBody, RequestContent::Unwatched, &[])
    }
}

impl Failure {
    /// The failure that an error stands for, or has among its sources.
    ///
    /// This is for code outside of the layer that meets the error of a response body after the head: the failure is found below the errors
    /// of all bodies that were put around the layer's, if these keep their sources. No error is read; `None` means that no failure is
    /// there, and [`from_body_error`](Self::from_body_error) would read the error.
    ///
    /// ```
    /// use tower_bad_gateway::{Failure, FailureKind, body::BodyError};
    ///
    /// let error = std::io::Error::other(BodyError::from(Failure::new(FailureKind::HttpResponseIncomplete)));
    /// assert_eq!(Failure::find(&error).unwrap().kind(), FailureKind::HttpResponseIncomplete);
    /// assert!(Failure::find(&std::io::Error::other("something else")).is_none());
    /// ```
    #[must_use]
    pub fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        own::find_failure(error)
    }
}

/// Reads an error that came out in this phase, of a request with this content; `readers` are the user's, the first one first.
///
/// The policy calls this for errors of `poll_ready`, of calls and of response bodies. The failure has an upstream if the error
/// [names](crate::Upstream::error) one; its source is the error without that name.
pub(crate) fn failure(
    error: BoxError,
    seen_in: Phase,
    content: RequestContent,
    readers: &[Arc<dyn Classify>],
) -> Failure {
    let (error, outer) = own::without_names(error);
    let cause = Cause::new(&*error, seen_in, content);
    // Where all errors are of the transport, none is a failure and none has a name.
    let (known, below) = if cause.is_of_transport() {
        (None, None)
    } else {
        (own::failure_in_chain(&cause), own::upstream_below(&*error))
    };
    let failure = match known {
        Some(failure) => failure,
        None => {
            let verdict = verdict(&cause, readers);
            of_verdict(verdict, error, seen_in)
        }
    };
    match below.or(outer) {
        // A failure among the sources was made nearer to the upstream, so the name that it has is the more exact one.
        Some(upstream) if failure.upstream().is_none() => failure.with_upstream(upstream),
        _ => failure,
    }
}

/// The failure of an error and the verdict on it, with the defaults of the kind for what the verdict leaves open.
fn of_verdict(verdict: Verdict, error: BoxError, seen_in: Phase) -> Failure {
    let mut failure = Failure::from_verdict(
        verdict.kind,
        verdict.phase.unwrap_or(seen_in),
        verdict.blame.unwrap_or(verdict.kind.blame()),
        verdict.retry_safety.unwrap_or(RetrySafety::Unknown),
        error,
    );
    if let Some(parameter) = verdict.parameter {
        failure = failure.with_parameter(parameter);
    }
    if let Some(status) = verdict.upstream_status {
        failure = failure.with_upstream_status(status);
    }
    if let Some(code) = verdict.grpc_code {
        failure = failure.with_grpc_code(code);
    }
    failure
}

/// The verdict on an error: this crate's, and above it what a user's reader has set.
///
/// Readers of users are asked last, although they win: so a reader that panics, or knows only the kind, loses nothing of what is known.
fn verdict(cause: &Cause<'_>, readers: &[Arc<dyn Classify>]) -> Verdict {
    let verdict =
        READERS.iter().find_map(|read| read(cause)).unwrap_or_else(|| Verdict::new(FailureKind::Unclassified));
    // The place says nothing but these two.
    let is_placed = verdict.phase.is_some() && verdict.retry_safety.is_some();
    let own_verdict = if is_placed { verdict } else { verdict.or(place::defaults(cause)) }.limited_by(cause);
    match readers.iter().find_map(|reader| caught(|| reader.classify(cause)).flatten()) {
        Some(users_verdict) => users_verdict.or(own_verdict),
        None => own_verdict,
    }
}

/// A reader of this crate: `None` where it does not know the error.
type Reader = fn(&Cause<'_>) -> Option<Verdict>;

/// The readers of this crate; the first answer is the verdict. The order matters:
///
/// 1. `request_fault`: the errors below such an error are the client's, although their types are those of an upstream's faults.
/// 2. tokio's tasks, then the time limits of libraries: the errors around such a limit often look like a lost connection.
/// 3. Limits on bodies, requests that could not be made, and tower's middleware.
/// 4. From the specific to the general: TLS, proxy connectors, hyper-util's client, h2, hyper, then reqwest, which stands around them. A reader for
///    another TLS library belongs beside that of rustls: after `hyper_util::read` or `io::read`, which know most kinds of `io::Error` around it, it would
///    mostly not be asked.
/// 5. `std::io`, which knows what failed but little of where.
/// 6. `tower::closed` and `tonic::read`, wrappers that say something only if no reader knows what is inside.
const READERS: &[Reader] = &[
    #[cfg(feature = "hyper-util")]
    hyper::request_fault,
    #[cfg(feature = "hyper-util")]
    h2::request_fault,
    tokio::read,
    time::read,
    #[cfg(feature = "tower")]
    tower::elapsed,
    #[cfg(feature = "hyper-util")]
    hyper::elapsed,
    #[cfg(feature = "tonic-0_14")]
    tonic::elapsed,
    #[cfg(any(feature = "tower-http-0_6", feature = "tower-http-0_7"))]
    tower_http::elapsed,
    #[cfg(feature = "reqwest-0_13")]
    reqwest::elapsed,
    #[cfg(feature = "http-body-util-0_1")]
    http_body_util::read,
    http::read,
    #[cfg(feature = "tower")]
    tower::read,
    #[cfg(feature = "rustls")]
    rustls::read,
    #[cfg(feature = "hyper-util-proxy-0_1")]
    hyper_util_proxy::read,
    #[cfg(feature = "hyper-util")]
    hyper_util::read,
    #[cfg(feature = "hyper-util")]
    h2::read,
    #[cfg(feature = "hyper-util")]
    hyper::read,
    #[cfg(feature = "reqwest-0_13")]
    reqwest::read,
    io::read,
    #[cfg(feature = "tower")]
    tower::closed,
    #[cfg(feature = "tonic-0_14")]
    tonic::read,
];
