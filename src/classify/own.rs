//! This crate's own errors, where they come out of a wrapped service: [`Failure`], [`BodyError`] and [`UpstreamError`].
//!
//! They need no reading, since they hold a verdict already. This happens where a layer stands inside another one, where the response
//! body of one call is the request body of another, and where a service returns a `Failure` of its own making.
//!
//! [`super::failure`] takes the names of upstreams off first ([`without_names`]). Where the chain has errors of other types than those of the
//! transport, it looks among them for a failure ([`failure_in_chain`]) and for a name further in ([`upstream_below`]). Only after that the
//! readers are asked.

use std::error::Error;

use super::{Cause, cause::whole_chain};
use crate::{
    failure::{BodyError, BoxError, Failure},
    upstream::{Upstream, UpstreamError},
};

/// The error without the [`UpstreamError`]s around it, and the upstream that the innermost of them names.
///
/// The error is read as it would be without the name.
pub(super) fn without_names(mut error: BoxError) -> (BoxError, Option<Upstream>) {
    let mut upstream = None;
    loop {
        error = match error.downcast::<UpstreamError>() {
            Ok(named) => {
                upstream = Some(named.upstream().clone());
                named.into_source()
            }
            Err(error) => return (error, upstream),
        };
    }
}

/// The upstream that the innermost [`UpstreamError`] of the chain names.
///
/// Such an error further in is left where it is; its name counts all the same, since the service nearest to the upstream knows best which
/// one it asked.
pub(super) fn upstream_below(error: &(dyn Error + 'static)) -> Option<Upstream> {
    let named = whole_chain(error).filter_map(|error| error.downcast_ref::<UpstreamError>()).last();
    named.map(|error| error.upstream().clone())
}

/// The failure among the sources of an error. The errors around it are dropped: they say nothing that the failure does not say better.
pub(super) fn failure_in_chain(cause: &Cause<'_>) -> Option<Failure> {
    cause.find::<Failure>().map(|failure| failure.clone().unanswered())
}

/// The failure below the error of a request body, where the walk does not end at an error of hyper for which `is_user` is true.
pub(super) fn failure_below(error: &(dyn Error + 'static)) -> Option<Failure> {
    find_failure(error).map(|failure| failure.clone().unanswered())
}

/// The error of another layer's body, if that layer has reported the failure: then the outer layer must not report it again. Other bodies
/// may have wrapped the error on its way.
///
/// # Errors
///
/// Gives the error back if no [`BodyError`] in its chain has been reported. It has to be read then.
pub(crate) fn already_reported(error: BoxError) -> Result<BodyError, BoxError> {
    let reported =
        whole_chain(&*error).find_map(|error| error.downcast_ref::<BodyError>().filter(|error| error.is_reported()));
    reported.cloned().ok_or(error)
}

/// The failure that an error is, or that is among its sources.
pub(super) fn find_failure<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Failure> {
    whole_chain(error).find_map(|error| error.downcast_ref())
}

/// The failure in an error whose type is not known to be an error: tower-http hands such ones to its classifiers.
///
/// Known are [`BodyError`], [`BoxError`], [`Failure`] and, with feature `axum`, `axum_core::Error`; of these the sources are looked at too.
#[cfg(feature = "tower-http")]
pub(crate) fn find_failure_in_any(error: &dyn std::any::Any) -> Option<&Failure> {
    let known = error.downcast_ref::<BodyError>().map(|error| error as &(dyn Error + 'static));
    let known = known.or_else(|| error.downcast_ref::<BoxError>().map(|error| &**error as &(dyn Error + 'static)));
    let known = known.or_else(|| error.downcast_ref::<Failure>().map(|error| error as &(dyn Error + 'static)));
    #[cfg(feature = "axum")]
    let known = known.or_else(|| error.downcast_ref::<axum_core::Error>().map(|error| error as &(dyn Error + 'static)));
    known.and_then(find_failure)
}

/// The cause of a [`BodyError`]. Its `source()` does not lead there, on purpose: hyper's server looks among the sources for an h2 code to send on.
pub(super) fn hidden_source<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    error.downcast_ref::<BodyError>().map(|error| error.failure() as &(dyn Error + 'static))
}
