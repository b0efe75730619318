//! Failures as what a handler of axum returns.

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

/// An answer in plain text, with the failure in its extensions: a layer outside
/// ([`for_router`](crate::BadGatewayLayer::for_router)) writes it anew in the format the client asked for, and tells the operator of
/// it, with the request that met it. Without one it is logged all the same (feature `tracing`): one WARN event, when the response is
/// sent or dropped, of the failure alone. The failure in the extensions is as the handler had it then: whether a request may be sent
/// again is said of the attempt that failed.
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let public = PublicFailure::of(&self);
        let envelope = Envelope {
            status: public.status(),
            method: &Method::GET,
            retry_after: None,
            proxy_status: None,
            fields: &[],
        };
        let mut response = respond(PlainText.write(&public), envelope).map(Body::from);
        let failure = self.unanswered();
        #[cfg(feature = "tracing")]
        response.extensions_mut().insert(Unreported::new(failure.clone()));
        response.extensions_mut().insert(failure);
        response
    }
}
