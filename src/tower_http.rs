//! Failures as tower-http's middleware classifies responses.
//!
//! `TraceLayer` and its like stand outside of the gateway's layer and know only a response, or the error of its body. This module finds
//! the failure in either; it classifies nothing anew.

use std::{any::Any, fmt};

use http::{HeaderMap, Response};
use tower_http::classify::{ClassifiedResponse, ClassifyEos, ClassifyResponse};

use crate::{
    caught::caught,
    classify::find_failure_in_any,
    failure::{Failure, FailureKind, Phase},
};

/// Gives tower-http's middleware, `TraceLayer` above all, the [`Failure`]s that the layer has made.
///
/// | what comes | when it is classified | as |
/// | --- | --- | --- |
/// | an answer of the layer, gRPC's included | at its head | its failure |
/// | a 5xx of the upstream | at its head | [`ReceivedStatus`](FailureKind::ReceivedStatus) in [`Phase::ResponseHead`] |
/// | any other response | at the end of its body | success |
/// | a body that broke after its head | when the error comes | the failure that the error holds |
/// | any other error | when it comes | [`Unclassified`](FailureKind::Unclassified), with its text as the private cause |
///
/// The errors of axum's bodies are recognised with feature `axum`.
///
/// Not for the `grpc-status` of an upstream, which is forwarded as it is: that is `GrpcErrorsAsFailures`.
///
/// ```
/// use tower::ServiceBuilder;
/// use tower_bad_gateway::{BadGatewayLayer, Failure, FailureClassifier};
/// use tower_http::{classify::SharedClassifier, trace::TraceLayer};
/// # use std::time::Duration;
///
/// let trace = TraceLayer::new(SharedClassifier::new(FailureClassifier::new())).on_failure(
///     |failure: Failure, _: Duration, _: &tracing::Span| eprintln!("{} in {:?}", failure.kind(), failure.phase()),
/// );
/// let stack = ServiceBuilder::new().layer(trace).layer(BadGatewayLayer::new().silent());
/// ```
#[derive(Clone, Debug, Default)]
pub struct FailureClassifier(());

impl FailureClassifier {
    /// The classifier; it has no settings.
    #[must_use]
    pub fn new() -> Self {
        Self(())
    }
}

impl ClassifyResponse for FailureClassifier {
    type FailureClass = Failure;
    type ClassifyEos = Self;

    fn classify_response<B>(self, response: &Response<B>) -> ClassifiedResponse<Failure, Self> {
        if let Some(failure) = response.extensions().get::<Failure>() {
            return ClassifiedResponse::Ready(Err(failure.clone()));
        }
        if response.status().is_server_error() {
            let failure = Failure::new(FailureKind::ReceivedStatus).with_phase(Phase::ResponseHead);
            return ClassifiedResponse::Ready(Err(failure.with_upstream_status(response.status())));
        }
        // The body may still break: a success reported now would hide that.
        ClassifiedResponse::RequiresEos(self)
    }

    fn classify_error<E: fmt::Display + 'static>(self, error: &E) -> Failure {
        failure(error)
    }
}

impl ClassifyEos for FailureClassifier {
    type FailureClass = Failure;

    fn classify_eos(self, _: Option<&HeaderMap>) -> Result<(), Failure> {
        Ok(())
    }

    fn classify_error<E: fmt::Display + 'static>(self, error: &E) -> Failure {
        failure(error)
    }
}

/// The failure that an error holds, or an unclassified one with the text of the error.
fn failure<E: fmt::Display + 'static>(error: &E) -> Failure {
    let known = find_failure_in_any(error as &dyn Any).cloned();
    // The `Display` of a foreign error may panic, and would take the task of the request down with it.
    known.unwrap_or_else(|| match caught(|| error.to_string()) {
        Some(text) => Failure::new(FailureKind::Unclassified).with_source(text),
        None => Failure::new(FailureKind::Unclassified),
    })
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::failure::{BodyError, BoxError};

    #[test]
    fn an_error_is_the_failure_it_holds_whatever_it_is_wrapped_in() {
        let broken = || BodyError::from(Failure::new(FailureKind::HttpResponseIncomplete));
        let classifier = FailureClassifier::new;
        let kinds = [
            ClassifyEos::classify_error(classifier(), &broken()),
            ClassifyEos::classify_error(classifier(), &BoxError::from(broken())),
            ClassifyEos::classify_error(classifier(), &BoxError::from(io::Error::other(broken()))),
            ClassifyResponse::classify_error(classifier(), &Failure::new(FailureKind::HttpResponseIncomplete)),
            #[cfg(feature = "axum")]
            ClassifyEos::classify_error(classifier(), &axum_core::Error::new(broken())),
        ]
        .map(|failure| failure.kind());
        assert!(kinds.iter().all(|kind| *kind == FailureKind::HttpResponseIncomplete), "{kinds:?}");

        let other = ClassifyEos::classify_error(classifier(), &"boom");
        assert_eq!(
            (other.kind(), &*other.private_chain().to_string()),
            (FailureKind::Unclassified, "unclassified in unknown: boom")
        );
    }

    #[test]
    fn a_status_of_the_upstream_is_one_that_was_received() {
        let of = |status| {
            let response = Response::builder().status(status).body(()).unwrap();
            match FailureClassifier::new().classify_response(&response) {
                ClassifiedResponse::Ready(failure) => {
                    failure.err().map(|failure| (failure.kind(), failure.phase(), failure.status().as_u16()))
                }
                ClassifiedResponse::RequiresEos(_) => None,
            }
        };
        assert_eq!(of(503), Some((FailureKind::ReceivedStatus, Phase::ResponseHead, 503)));
        assert_eq!((of(200), of(404)), (None, None));
    }
}
