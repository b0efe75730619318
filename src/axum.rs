//! Failures as what a handler of axum returns.

use axum_core::{
    body::Body,
    response::{IntoResponse, Response},
};

use http::Method;

use crate::{
    failure::Failure,
    format::{Format, PlainText, PublicFailure},
    representation::{Envelope, respond},
};

/// An answer in plain text, with the failure in its extensions: a layer outside
/// ([`for_router`](crate::BadGatewayLayer::for_router)) writes it anew in the format the client asked for.
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
        response.extensions_mut().insert(self.unanswered());
        response
    }
}
