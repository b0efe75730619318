//! The walk along the chain of an error's sources.

use std::{error::Error, fmt, io, iter, slice};

use crate::{context::RequestContent, failure::Phase};

/// An error and all that caused it.
///
/// [`Error::source`] alone skips what an [`io::Error`] wraps and what an `h2::Error` holds; this walk does not. It ends at
/// a `hyper::Error` that is the user's: below it stands what went wrong with *our request's* body, the client's fault, in
/// the same types as an upstream's.
///
/// See the [module](super) for an example.
pub struct Cause<'a> {
    // Walked once, since every reader looks for its own types.
    errors: [Option<&'a (dyn Error + 'static)>; DEEPEST],
    length: usize,
    seen_in: Phase,
    content: RequestContent,
    #[cfg(feature = "hyper-util")]
    known: Known<'a>,
}

/// The first errors of the types that most readers ask for.
#[cfg(feature = "hyper-util")]
#[derive(Default)]
struct Known<'a> {
    client: Option<&'a hyper_util::client::legacy::Error>,
    h2: Option<&'a h2::Error>,
    hyper: Option<&'a hyper::Error>,
}

impl<'a> Cause<'a> {
    pub(super) fn new(error: &'a (dyn Error + 'static), seen_in: Phase, content: RequestContent) -> Self {
        let mut this = Self {
            errors: [None; DEEPEST],
            length: 0,
            seen_in,
            content,
            #[cfg(feature = "hyper-util")]
            known: Known::default(),
        };
        let mut next = Some(error);
        for slot in &mut this.errors {
            let Some(error) = next else { break };
            *slot = Some(error);
            this.length += 1;
            #[cfg(feature = "hyper-util")]
            this.known.note(error);
            next = if is_users(error) { None } else { step(error) };
        }
        this
    }

    /// The first error of type `T`, the outermost one first.
    #[must_use]
    pub fn find<T: Error + 'static>(&self) -> Option<&'a T> {
        self.iter().find_map(|error| error.downcast_ref())
    }

    /// The errors, the outermost one first; at most 16.
    #[must_use]
    pub fn iter(&self) -> Causes<'a, '_> {
        Causes(self.errors.get(..self.length).unwrap_or_default().iter())
    }

    /// Where the error came out: [`Phase::Readiness`], [`Phase::ResponseHead`], [`Phase::ResponseBody`], or
    /// [`Phase::Unknown`] in [`Failure::from_error`](crate::Failure::from_error).
    ///
    /// An earlier phase may be at fault: an error of the connection comes out while the response head is waited for.
    #[must_use]
    pub fn seen_in(&self) -> Phase {
        self.seen_in
    }

    #[cfg(feature = "hyper-util")]
    pub(super) fn client(&self) -> Option<&'a hyper_util::client::legacy::Error> {
        self.known.client
    }

    #[cfg(feature = "hyper-util")]
    pub(super) fn h2(&self) -> Option<&'a h2::Error> {
        self.known.h2
    }

    #[cfg(feature = "hyper-util")]
    pub(super) fn hyper(&self) -> Option<&'a hyper::Error> {
        self.known.hyper
    }

    /// What is known of the content of the request.
    #[cfg_attr(not(feature = "hyper-util"), allow(dead_code, reason = "few readers ask for it"))]
    pub(super) fn content(&self) -> RequestContent {
        self.content
    }

    /// Whether a client says that its call failed; of a body it says nothing.
    #[cfg(feature = "hyper-util")]
    pub(super) fn is_of_call(&self) -> bool {
        self.client().is_some()
    }

    #[cfg(not(feature = "hyper-util"))]
    #[allow(clippy::unused_self)]
    pub(super) fn is_of_call(&self) -> bool {
        false
    }
}

#[cfg(feature = "hyper-util")]
impl<'a> Known<'a> {
    fn note(&mut self, error: &'a (dyn Error + 'static)) {
        self.client = self.client.or_else(|| error.downcast_ref());
        self.h2 = self.h2.or_else(|| error.downcast_ref());
        self.hyper = self.hyper.or_else(|| error.downcast_ref());
    }
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

/// The errors of a [`Cause`], the outermost one first.
#[derive(Clone, Debug)]
pub struct Causes<'a, 'c>(slice::Iter<'c, Option<&'a (dyn Error + 'static)>>);

impl<'a> Iterator for Causes<'a, '_> {
    type Item = &'a (dyn Error + 'static);

    fn next(&mut self) -> Option<Self::Item> {
        *self.0.next()?
    }
}

/// All errors, also those below a user's: for logs, not for verdicts.
pub(super) fn whole_chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |&error| step(error)).take(DEEPEST)
}

fn step<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        // `io::Error::source` is the source *of* the wrapped error: it would skip one.
        return error.get_ref().map(|inner| inner as &(dyn Error + 'static));
    }
    #[cfg(feature = "hyper-util")]
    if let Some(error) = error.downcast_ref::<h2::Error>() {
        return error.get_io().map(|inner| inner as &(dyn Error + 'static));
    }
    #[cfg(feature = "hyper-util-proxy-0_1")]
    if let Some(error) = super::hyper_util_proxy::step(error) {
        return Some(error);
    }
    #[cfg(feature = "reqwest-middleware-0_5")]
    if let Some(error) = super::reqwest_middleware::step(error) {
        return Some(error);
    }
    super::own::step(error).or_else(|| error.source())
}

#[cfg(feature = "hyper-util")]
fn is_users(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_user)
}

#[cfg(not(feature = "hyper-util"))]
fn is_users(_: &(dyn Error + 'static)) -> bool {
    false
}

/// Real chains have up to eight; one that names itself as its source must not keep us.
const DEEPEST: usize = 16;

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
        assert_eq!(cause.iter().count(), DEEPEST);
        assert!(cause.find::<io::Error>().is_none());
    }

    #[test]
    fn what_an_io_error_wraps_is_found() {
        let error = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, fmt::Error));
        assert!(error.source().is_none(), "the standard library skips it");
        let cause = Cause::new(&error, Phase::Unknown, RequestContent::Unwatched);
        assert!(cause.find::<fmt::Error>().is_some());
        assert_eq!(cause.iter().count(), 3);
    }
}
