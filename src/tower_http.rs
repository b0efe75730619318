//! Failures as tower-http's middleware classifies responses.

use std::{any::Any, fmt};

use http::{HeaderMap, Response};
use tower_http::classify::{ClassifiedResponse, ClassifyEos, ClassifyResponse};

use crate::{
    caught::caught,
    classify::find_failure_in_any,
    failure::{Failure, FailureKind, Phase},
};

/// Tells tower-http's middleware, `TraceLayer` above all, what the layer knows: the [`Failure`] of an answer, gRPC's included,
/// and of a body that broke after its head.
///
/// A 5xx of the upstream that was passed on is a [`FailureKind::ReceivedStatus`], an error that nobody has classified an
/// [`Unclassified`](FailureKind::Unclassified). The errors of axum's bodies are known with feature `axum`.
///
/// Not for the `grpc-status` of an upstream, which is passed on as it is: that is `GrpcErrorsAsFailures`.
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
    /// There is nothing to set.
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
        // Its body may break yet.
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

fn failure<E: fmt::Display + 'static>(error: &E) -> Failure {
    let known = find_failure_in_any(error as &dyn Any).cloned();
    // Somebody else's code prints it.
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
