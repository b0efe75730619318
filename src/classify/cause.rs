//! The walk along the chain of an error's sources.
//!
//! [`Cause`] is what every reader is given: the errors of the chain in an array, the phase in which the outermost error came out,
//! and what is known of the content of the request. This module knows how each error type keeps its source; it does not know
//! what an error means, which is for the readers beside it.
//!
//! Callers: [`super::failure`] makes one `Cause` for each error, once the names of upstreams around it were taken off.
//! [`whole_chain`] walks without a `Cause`, for logs and for uploads.

use std::{any::TypeId, error::Error, fmt, io, iter, slice};

use crate::{context::RequestContent, failure::Phase};

/// An error and all that caused it: what a [reader](super::Classify) looks at.
///
/// The walk begins at the error that came out of the wrapped service and follows the sources. [`Error::source`] alone skips the
/// error inside an [`io::Error`] and the one inside an `h2::Error`; `Cause` finds both. The cause of a
/// [`BodyError`](crate::body::BodyError), which has no source on purpose, is found as well.
///
/// The walk ends at the first of these:
///
/// * an error without a source;
/// * the sixteenth error;
/// * a `hyper::Error` for which `is_user` is true (feature `hyper-util`). Below it stands what went wrong with the body of the
///   *request*, in the same types as an upstream's faults; a reader that found them would blame the upstream for its client. Logs
///   print them all the same, by [`Failure::private_chain`](crate::Failure::private_chain).
///
/// A `Cause` lives only as long as the call of the reader. What a reader wants to keep of an error it copies into its
/// [`Verdict`](super::Verdict); the error itself becomes the source of the failure.
///
/// See the [module](super) for an example.
pub struct Cause<'a> {
    /// The errors, the outermost one first; `None` from `length` on. The walk is made once: each of some twenty
    /// readers looks for its own types, and would walk again.
    errors: [Option<&'a (dyn Error + 'static)>; MAX_DEPTH],
    /// How many errors there are; at least one.
    length: usize,
    /// Where the outermost error came out.
    seen_in: Phase,
    /// What is known of the content of the request.
    content: RequestContent,
    /// What most readers ask for.
    known: KnownErrors<'a>,
}

/// The errors of the types that nearly every chain consists of, found during the walk, so that the readers need not search.
#[derive(Default)]
struct KnownErrors<'a> {
    /// The last one, which is the socket's: TLS libraries wrap it in one of their own, often of another kind.
    innermost_io: Option<&'a io::Error>,
    /// The first one; says whether the connection was being opened, and whether there was one.
    #[cfg(feature = "hyper-util")]
    client: Option<&'a hyper_util::client::legacy::Error>,
    /// The first one; says whether a name was being looked up.
    #[cfg(feature = "hyper-util")]
    connector: Option<&'a ConnectorError>,
    /// The first one; says who reset the stream or closed the connection.
    #[cfg(feature = "hyper-util")]
    h2: Option<&'a h2::Error>,
    /// The first one; says what went wrong in the exchange.
    #[cfg(feature = "hyper-util")]
    hyper: Option<&'a hyper::Error>,
    /// Whether the chain has an error of any other type, or ends at one of hyper below which there may be any. Where it has none, a search for one
    /// ends before it begins.
    has_others: bool,
}

/// The error of hyper-util's `HttpConnector`. Its type stands in a private module, and can be named only as an associated type.
#[cfg(feature = "hyper-util")]
pub(super) type ConnectorError =
    <hyper_util::client::legacy::connect::HttpConnector as tower_service::Service<http::Uri>>::Error;

impl<'a> Cause<'a> {
    /// Walks along the sources of `error`, once.
    pub(super) fn new(error: &'a (dyn Error + 'static), seen_in: Phase, content: RequestContent) -> Self {
        let mut this = Self { errors: [None; MAX_DEPTH], length: 0, seen_in, content, known: KnownErrors::default() };
        let mut next = Some(error);
        for slot in &mut this.errors {
            let Some(error) = next else { break };
            *slot = Some(error);
            this.length += 1;
            next = this.known.note(error);
        }
        this
    }

    /// The first error of type `T`; the search begins at the outermost error. `None` if there is none in the walk.
    ///
    /// The type is compared as a whole: `T` from another major version of its crate is another type and is not found. An error
    /// in a box of its own, such as a `Box<T>` as a source, is not found as `T` either.
    #[must_use]
    pub fn find<T: Error + 'static>(&self) -> Option<&'a T> {
        if !self.known.has_others && !is_known_type::<T>() {
            return None;
        }
        self.iter().find_map(|error| error.downcast_ref())
    }

    /// All errors of the walk, the outermost one first: at least one, at most 16.
    ///
    /// For a reader that has to see more than the first error of a type, such as the [`io::Error`] of the socket below one of a
    /// TLS library:
    ///
    /// ```
    /// use std::io;
    /// use tower_bad_gateway::{BadGatewayLayer, FailureKind, classify::Cause};
    ///
    /// const EPROTONOSUPPORT: i32 = 93; // on Linux
    /// let layer = BadGatewayLayer::new().classify(|cause: &Cause<'_>| {
    ///     let number = cause.iter().find_map(|error| error.downcast_ref::<io::Error>()?.raw_os_error())?;
    ///     (number == EPROTONOSUPPORT).then_some(FailureKind::ProxyConfigurationError)
    /// });
    /// ```
    #[must_use]
    pub fn iter(&self) -> Causes<'a, '_> {
        Causes(self.errors.get(..self.length).unwrap_or_default().iter())
    }

    /// Where the error came out. An earlier phase may be at fault: an error of the connection comes out while the response head
    /// is waited for.
    ///
    /// | phase | the error is of |
    /// | --- | --- |
    /// | [`Phase::Readiness`] | `poll_ready` of the wrapped service |
    /// | [`Phase::ResponseHead`] | the future of the call |
    /// | [`Phase::ResponseBody`] | the response body, or [`Failure::from_body_error`](crate::Failure::from_body_error) |
    /// | [`Phase::Unknown`] | [`Failure::from_error`](crate::Failure::from_error), which does not know |
    #[must_use]
    pub fn seen_in(&self) -> Phase {
        self.seen_in
    }

    /// Whether all errors are of `std::io`, hyper, h2, hyper-util's client and its connector, and none is the fault of who made the request: then
    /// none of them, and none below, holds a failure or the name of an upstream.
    pub(super) fn is_of_transport(&self) -> bool {
        !self.known.has_others
    }

    /// The last I/O error of the chain.
    pub(super) fn innermost_io(&self) -> Option<&'a io::Error> {
        self.known.innermost_io
    }

    /// The first error of hyper-util's `HttpConnector`.
    #[cfg(feature = "hyper-util")]
    pub(super) fn connector(&self) -> Option<&'a ConnectorError> {
        self.known.connector
    }

    /// The first error of hyper-util's client; `None` if the call was made by another client, and for most errors of bodies.
    #[cfg(feature = "hyper-util")]
    pub(super) fn client(&self) -> Option<&'a hyper_util::client::legacy::Error> {
        self.known.client
    }

    /// The first error of h2.
    #[cfg(feature = "hyper-util")]
    pub(super) fn h2(&self) -> Option<&'a h2::Error> {
        self.known.h2
    }

    /// The first error of hyper; it may be one for which `is_user` is true, and then it is the last of the walk.
    #[cfg(feature = "hyper-util")]
    pub(super) fn hyper(&self) -> Option<&'a hyper::Error> {
        self.known.hyper
    }

    /// What is known of the content of the request.
    #[cfg_attr(not(feature = "hyper-util"), allow(dead_code, reason = "few readers ask for it"))]
    pub(super) fn content(&self) -> RequestContent {
        self.content
    }

    /// Whether hyper-util's client says that its call failed. Its response bodies fail with an error of hyper alone, so an error
    /// with the client's around it is of the head or of what comes before.
    #[cfg(feature = "hyper-util")]
    pub(super) fn is_of_call(&self) -> bool {
        self.client().is_some()
    }

    /// Without the feature the type of the client cannot be named.
    #[cfg(not(feature = "hyper-util"))]
    #[allow(clippy::unused_self)]
    pub(super) fn is_of_call(&self) -> bool {
        false
    }
}

impl<'a> KnownErrors<'a> {
    /// Keeps what is to be kept of one error of the walk, and gives the next one.
    ///
    /// One question after another, the most frequent type first: each is a call through the error's table of functions.
    fn note(&mut self, error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            self.innermost_io = Some(error);
            return source_of_io(error);
        }
        #[cfg(feature = "hyper-util")]
        if let Some(error) = error.downcast_ref() {
            self.client = self.client.or(Some(error));
            return error.source();
        }
        #[cfg(feature = "hyper-util")]
        if let Some(error) = error.downcast_ref() {
            self.connector = self.connector.or(Some(error));
            return error.source();
        }
        #[cfg(feature = "hyper-util")]
        if let Some(error) = error.downcast_ref() {
            self.hyper = self.hyper.or(Some(error));
            // The walk ends where hyper blames the one who made the request: its body failed, or the task of its connection is gone. What
            // stands below may be of any type, and may have the name of an upstream.
            self.has_others |= error.is_user();
            return error.source().filter(|_| !error.is_user());
        }
        #[cfg(feature = "hyper-util")]
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            self.h2 = self.h2.or(Some(error));
            return source_of_h2(error);
        }
        self.has_others = true;
        source_of(error)
    }
}

/// Whether this is one of the types that [`KnownErrors::note`] asks for, so that an error of it does not set `has_others`. If one of those types
/// were missing here, [`Cause::find`] would not find it in a chain that has no other types.
fn is_known_type<T: 'static>() -> bool {
    let this = TypeId::of::<T>();
    #[cfg(feature = "hyper-util")]
    let of_hyper = [
        TypeId::of::<hyper_util::client::legacy::Error>(),
        TypeId::of::<ConnectorError>(),
        TypeId::of::<hyper::Error>(),
        TypeId::of::<h2::Error>(),
    ];
    #[cfg(not(feature = "hyper-util"))]
    let of_hyper = [];
    this == TypeId::of::<io::Error>() || of_hyper.contains(&this)
}

impl fmt::Debug for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a, 'c> IntoIterator for &'c Cause<'a> {
    type Item = &'a (dyn Error + 'static);
    type IntoIter = Causes<'a, 'c>;

    fn into_iter(self) -> Causes<'a, 'c> {
        self.iter()
    }
}

/// The errors of a [`Cause`], the outermost one first; made by [`Cause::iter`].
#[derive(Clone, Debug)]
pub struct Causes<'a, 'c>(slice::Iter<'c, Option<&'a (dyn Error + 'static)>>);

impl<'a> Iterator for Causes<'a, '_> {
    type Item = &'a (dyn Error + 'static);

    fn next(&mut self) -> Option<Self::Item> {
        *self.0.next()?
    }
}

/// All errors of a chain, at most [`MAX_DEPTH`], also those below a `hyper::Error` for which `is_user` is true.
///
/// For logs, for uploads, and for failures that are looked up again. Not for verdicts on upstreams: below such an error stands
/// what the client did.
pub(super) fn whole_chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |&error| source_of(error)).take(MAX_DEPTH)
}

/// The next error of the chain, where each type keeps it.
///
/// A type of which only its own module knows where the source is has a `hidden_source` there.
fn source_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    if let Some(error) = error.downcast_ref() {
        return source_of_io(error);
    }
    #[cfg(feature = "hyper-util")]
    if let Some(error) = error.downcast_ref() {
        return source_of_h2(error);
    }
    #[cfg(feature = "hyper-util-proxy-0_1")]
    if let Some(error) = super::hyper_util_proxy::hidden_source(error) {
        return Some(error);
    }
    #[cfg(feature = "reqwest-middleware-0_5")]
    if let Some(error) = super::reqwest_middleware::hidden_source(error) {
        return Some(error);
    }
    super::own::hidden_source(error).or_else(|| error.source())
}

/// The error inside an I/O error. `io::Error::source` is the source *of* the wrapped error: with it the wrapped error itself would be skipped.
fn source_of_io(error: &io::Error) -> Option<&(dyn Error + 'static)> {
    error.get_ref().map(|inner| inner as &(dyn Error + 'static))
}

/// The I/O error inside an error of h2, which has no source.
#[cfg(feature = "hyper-util")]
fn source_of_h2(error: &h2::Error) -> Option<&(dyn Error + 'static)> {
    error.get_io().map(|inner| inner as &(dyn Error + 'static))
}

/// How many errors are looked at. Real chains have up to eight; a chain without an end, such as that of an error that names itself
/// as its source, must not keep the task for ever.
const MAX_DEPTH: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Endless;
    impl fmt::Display for Endless {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("endless")
        }
    }
    impl Error for Endless {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(self)
        }
    }

    #[test]
    fn a_chain_that_never_ends_is_left() {
        let cause = Cause::new(&Endless, Phase::Unknown, RequestContent::Unwatched);
        assert_eq!(cause.iter().count(), MAX_DEPTH);
        assert!(cause.find::<io::Error>().is_none());
    }

    #[test]
    fn each_type_that_the_walk_knows_is_found_where_there_is_no_other() {
        let error = io::Error::other(io::Error::other(io::Error::from(io::ErrorKind::TimedOut)));
        let cause = Cause::new(&error, Phase::Unknown, RequestContent::Unwatched);
        assert!(cause.is_of_transport() && cause.find::<io::Error>().is_some() && cause.find::<fmt::Error>().is_none());
        assert_eq!(cause.innermost_io().map(io::Error::kind), Some(io::ErrorKind::TimedOut));
        #[cfg(feature = "hyper-util")]
        {
            let error = io::Error::other(h2::Error::from(h2::Reason::CANCEL));
            let cause = Cause::new(&error, Phase::Unknown, RequestContent::Unwatched);
            assert!(cause.is_of_transport() && cause.find::<h2::Error>().is_some() && cause.h2().is_some());
            assert!(is_known_type::<hyper::Error>() && is_known_type::<ConnectorError>());
            assert!(is_known_type::<hyper_util::client::legacy::Error>());
        }
    }

    #[test]
    fn what_an_io_error_wraps_is_found() {
        let error = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, fmt::Error));
        assert!(error.source().is_none(), "the standard library skips it");
        let cause = Cause::new(&error, Phase::Unknown, RequestContent::Unwatched);
        assert!(cause.find::<fmt::Error>().is_some() && !cause.is_of_transport());
        assert_eq!(cause.iter().count(), 3);
    }
}
