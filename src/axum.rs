//! Failures as what a handler of axum returns.
//!
//! The response is made for two readers: a layer outside, which takes the failure from the extensions and drops the rest, and, where
//! there is no layer, the client. This module must not read requests: a handler's `IntoResponse` does not see one.

use axum_core::{
    body::Body,
    response::{IntoResponse, Response},
};

use http::Method;

#[cfg(feature = "tracing")]
use crate::hooks::Unreported;
use crate::{
    failure::Failure,
    format::{Format, PlainText, PublicFailure},
    representation::{Envelope, respond},
};

/// An answer in plain text with the failure's status and public sentence, and the failure in its extensions.
///
/// A layer outside ([`for_router`](crate::BadGatewayLayer::for_router)) writes the answer anew in the format the client asked for, and
/// reports the failure, with the request that met it. Without a layer the failure is logged all the same (feature `tracing`): one WARN
/// event, when the response is sent or dropped, of the failure alone. The failure in the extensions is as the handler had it then:
/// whether a request may be sent again is said of the attempt that failed.
///
/// ```
/// use axum_core::response::IntoResponse;
/// use tower_bad_gateway::{Failure, FailureKind};
///
/// let response = Failure::new(FailureKind::ConnectionRefused).into_response();
/// assert_eq!(response.status(), 502);
/// assert!(response.extensions().get::<Failure>().is_some());
/// ```
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let public = PublicFailure::of(&self);
        let envelope = Envelope {
            status: public.status(),
            method: &Method::GET,
            retry_after: None,
            proxy_status: None,
            fields: &[],
            kept: None,
            is_by_accept: false,
            is_by_language: false,
        };
        let mut response = respond(PlainText.write(&public), envelope).map(Body::from);
        let failure = self.unanswered();
        #[cfg(feature = "tracing")]
        response.extensions_mut().insert(Unreported::new(failure.clone()));
        response.extensions_mut().insert(failure);
        response
    }
}
