//! How a failure is shown to a client: in which format, with which status, sentence and fields.

use std::{borrow::Cow, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::{
    caught::caught,
    context::{Protocol, RequestContext},
    dialect::grpc,
    failure::Failure,
    format::{Format, FormatOverrides, Negotiate, PublicFailure, written_by},
    gateway_name::GatewayName,
    representation::{Envelope, respond},
};

/// What users have set of the answers that the layer makes; all of it is read after a failure only.
#[derive(Clone)]
pub(crate) struct Presentation {
    pub(crate) format: Arc<dyn Format>,
    pub(crate) format_overrides: FormatOverrides,
    pub(crate) fields: Vec<(HeaderName, HeaderValue)>,
    pub(crate) message: Option<Cow<'static, str>>,
    pub(crate) map_status: Option<Arc<MapStatus>>,
    pub(crate) retry_after: Option<Duration>,
}

pub(crate) type MapStatus = dyn Fn(&Failure) -> StatusCode + Send + Sync;

impl Default for Presentation {
    fn default() -> Self {
        Self {
            format: Arc::new(Negotiate::new()),
            format_overrides: FormatOverrides::default(),
            fields: Vec::new(),
            message: None,
            map_status: None,
            retry_after: None,
        }
    }
}

impl Presentation {
    /// Makes the answer; `proxy_status` writes that field for a status.
    pub(super) fn respond(
        &self,
        failure: &Failure,
        request: &RequestContext,
        gateway: Option<&GatewayName>,
        proxy_status: impl FnOnce(StatusCode) -> Option<HeaderValue>,
    ) -> Response<Bytes> {
        match request.protocol() {
            Protocol::Grpc => grpc::respond(
                failure,
                self.message(failure, request).unwrap_or(failure.kind().summary()),
                request.request_id(),
                request.version(),
                proxy_status(failure.status()),
                &self.fields,
            ),
            Protocol::Http => self.respond_http(failure, request, gateway, proxy_status),
        }
    }

    fn respond_http(
        &self,
        failure: &Failure,
        request: &RequestContext,
        gateway: Option<&GatewayName>,
        proxy_status: impl FnOnce(StatusCode) -> Option<HeaderValue>,
    ) -> Response<Bytes> {
        let status = self.status(failure);
        let retry_after = self.retry_after.filter(|_| status == StatusCode::SERVICE_UNAVAILABLE);
        let public = PublicFailure {
            failure,
            status,
            message: self.message(failure, request),
            gateway,
            retry_after,
            request_id: request.request_id(),
            accept: request.accept.as_ref(),
            is_safe: request.method().is_safe(),
            discloses: request.flags.discloses,
        };
        let format = self.format_overrides.choose(&public).unwrap_or(&*self.format);
        let representation = written_by(format, &public);
        respond(
            representation,
            Envelope {
                status,
                method: request.method(),
                retry_after: retry_after.map(|delay| HeaderValue::from(delay.as_secs())),
                proxy_status: proxy_status(status),
                fields: &self.fields,
            },
        )
    }

    fn status(&self, failure: &Failure) -> StatusCode {
        let status = failure.status();
        let mapped = self.map_status.as_ref().and_then(|map| caught(|| map(failure)));
        mapped.filter(|status| status.is_client_error() || status.is_server_error()).unwrap_or(status)
    }

    /// The sentence that was set for this failure, this request or the layer, in this order.
    fn message<'a>(&'a self, failure: &'a Failure, request: &'a RequestContext) -> Option<&'a str> {
        failure.message().or(request.message()).or(self.message.as_deref())
    }
}
