//! The answer that a client is shown for a failure: its format, status, sentence and fields.
//!
//! For a request of plain HTTP it is put together in this order:
//!
//! 1. the status: that of the failure, unless `map_status` chooses another 4xx or 5xx;
//! 2. `Retry-After`: that of an intercepted response that keeps it, or the one that was set if the status is 503 or 429;
//! 3. the sentence: that of the failure, of the request, of the layer, or the summary of the kind;
//! 4. the format: that of the request, or an override for the kind, the class or the status, or else the format of the layer;
//! 5. `Proxy-Status`, if the gateway has a name, and the fields that the user adds to every answer.
//!
//! A gRPC request is answered by the gRPC dialect: status 200, the code in `grpc-status`, the sentence in `grpc-message`. Formats
//! and `map_status` do not apply there, and `Retry-After` becomes `grpc-retry-pushback-ms`.
//!
//! The policy alone calls it, after a failure: [`answer`](super::Policy::answer) for an answer, and `end_in_trailers` for the trailers of a gRPC
//! body. It must not know how the failure came about: it sees the failure as data, and nothing of the response that was refused.

use std::{borrow::Cow, error::Error, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{ACCEPT_LANGUAGE, RETRY_AFTER},
};

use super::RequestPolicy;
use crate::{
    caught::caught,
    context::{Protocol, RequestContext},
    dialect::grpc,
    failure::Failure,
    fallback_service::Settings,
    format::{ByScope, Format, Languages, Negotiate, PublicFailure, written_by},
    gateway_name::GatewayName,
    representation::{Envelope, KeptOfFallback, respond, respond_by_fallback},
};

/// The settings of the answers that the layer makes. They are read only after a failure.
#[derive(Clone)]
pub(crate) struct Presentation {
    /// The format of all failures that have no override; by default one is negotiated by `Accept`.
    pub(crate) format: Arc<dyn Format>,
    /// The formats for single kinds, classes or statuses.
    pub(crate) format_overrides: ByScope<dyn Format>,
    /// The fields that are added to every answer, gRPC included.
    pub(crate) fields: Vec<(HeaderName, HeaderValue)>,
    /// The sentence for every failure that has none of its own.
    pub(crate) message: Option<Cow<'static, str>>,
    /// The user's choice of a status.
    pub(crate) map_status: Option<Arc<MapStatus>>,
    /// The languages besides English.
    pub(crate) languages: Languages,
    /// The value of `Retry-After` on a 503 or 429: whole seconds, at least one, as the setter of the layer has rounded them.
    pub(crate) retry_after: Option<Duration>,
}

/// What an answer has that follows from other parts of the policy.
pub(super) struct AnswerContext {
    /// The `Proxy-Status`; `None` if the gateway has no name.
    pub(super) proxy_status: Option<HeaderValue>,
    /// Whether `Accept` decides who has written it.
    pub(super) is_by_accept: bool,
}

/// A user's function from a failure to the status of its answer.
pub(crate) type MapStatus = dyn Fn(&Failure) -> StatusCode + Send + Sync;

/// Negotiation by `Accept`, and nothing set beside it.
impl Default for Presentation {
    fn default() -> Self {
        Self {
            format: Arc::new(Negotiate::new()),
            format_overrides: ByScope::default(),
            fields: Vec::new(),
            message: None,
            map_status: None,
            languages: Languages::default(),
            retry_after: None,
        }
    }
}

impl Presentation {
    /// Makes the answer to a failure, in gRPC if the request was gRPC.
    ///
    /// `status` is that of an answer in plain HTTP.
    pub(super) fn respond(
        &self,
        failure: &Failure,
        request: &RequestContext,
        gateway: Option<&GatewayName>,
        status: StatusCode,
        context: AnswerContext,
    ) -> Response<Bytes> {
        match request.protocol() {
            Protocol::Grpc | Protocol::GrpcWeb => grpc::respond(
                request,
                failure,
                self.message(failure, request).unwrap_or(failure.kind().summary()),
                context.proxy_status,
                failure.retry_after().or(self.retry_after(failure.status())),
                &self.fields,
            ),
            Protocol::Http => self.respond_http(failure, request, gateway, status, context),
        }
    }

    /// Makes the answer to a request of plain HTTP. A format that panics is replaced by plain text.
    fn respond_http(
        &self,
        failure: &Failure,
        request: &RequestContext,
        gateway: Option<&GatewayName>,
        status: StatusCode,
        context: AnswerContext,
    ) -> Response<Bytes> {
        let public = self.public(failure, status, request, gateway);
        let format = RequestPolicy::format_of(request)
            .or_else(|| self.format_overrides.choose(failure.kind(), status))
            .unwrap_or(&self.format);
        let representation = written_by(&**format, &public);
        respond(representation, self.envelope(failure, status, request, context))
    }

    /// Makes the answer of the response of a fallback, which was found to be one.
    pub(super) fn respond_by_fallback<B>(
        &self,
        failure: &Failure,
        request: &RequestContext,
        settings: &Settings,
        context: AnswerContext,
        status: StatusCode,
        response: Response<B>,
    ) -> Response<B> {
        let kept = KeptOfFallback {
            all: settings.options.keeps_all_fields,
            of_status: settings.options.keeps_status,
            caching: settings.options.keeps_caching,
            named: &settings.options.kept_fields,
        };
        respond_by_fallback(response, kept, self.envelope(failure, status, request, context))
    }

    /// What a client may see of a failure that is answered with this status.
    #[inline]
    pub(super) fn public<'a>(
        &'a self,
        failure: &'a Failure,
        status: StatusCode,
        request: &'a RequestContext,
        gateway: Option<&'a GatewayName>,
    ) -> PublicFailure<'a> {
        PublicFailure {
            failure,
            status,
            message: self.message(failure, request),
            gateway,
            retry_after: self.retry_after_of(failure, status),
            request_id: request.request_id(),
            accept: request.accept.as_ref(),
            request: Some(request),
            is_safe: request.method().is_safe(),
            texts: self.languages.choose(request.field_lines(&ACCEPT_LANGUAGE)),
            discloses: request.discloses(),
        }
    }

    /// What the layer adds to the content of an answer.
    #[inline]
    fn envelope<'a>(
        &'a self,
        failure: &'a Failure,
        status: StatusCode,
        request: &'a RequestContext,
        context: AnswerContext,
    ) -> Envelope<'a> {
        Envelope {
            status,
            method: request.method(),
            retry_after: self.retry_after_of(failure, status).map(|delay| HeaderValue::from(delay.as_secs())),
            proxy_status: context.proxy_status,
            fields: &self.fields,
            kept: kept_fields(failure, status),
            is_by_accept: context.is_by_accept,
            is_by_language: !self.languages.is_empty(),
        }
    }

    /// Makes the trailers in which a gRPC body ends that broke between two messages.
    pub(super) fn grpc_trailers(&self, failure: &Failure, request: &RequestContext) -> HeaderMap {
        let sentence = self.message(failure, request).unwrap_or(failure.kind().summary());
        grpc::trailers(failure, sentence, request.request_id())
    }

    /// What a gRPC client library finds in the error of a body that is aborted.
    pub(super) fn grpc_error_source(
        &self,
        failure: &Failure,
        request: &RequestContext,
    ) -> Option<Arc<dyn Error + Send + Sync>> {
        grpc::error_source(failure, self.message(failure, request).unwrap_or(failure.kind().summary()))
    }

    /// After what time the answer to this failure invites the client back: as the intercepted response says, or as it was set.
    #[inline]
    fn retry_after_of(&self, failure: &Failure, status: StatusCode) -> Option<Duration> {
        match kept_fields(failure, status) {
            // A date is no delay that anything could show, and no other one may be shown beside it.
            Some(kept) if kept.get(RETRY_AFTER).is_some() => failure.retry_after(),
            _ => self.retry_after(status),
        }
    }

    /// After what time an answer with this status invites the client back.
    fn retry_after(&self, status: StatusCode) -> Option<Duration> {
        self.retry_after.filter(|_| [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS].contains(&status))
    }

    /// The status of an HTTP answer.
    ///
    /// The status that `map_status` chooses counts only if it is a 4xx or 5xx: a failure that is answered with a 2xx would be taken for
    /// a response of the upstream. If the function panics, the status is that of the failure.
    pub(super) fn status(&self, failure: &Failure) -> StatusCode {
        let status = failure.status();
        let mapped = self.map_status.as_ref().and_then(|map| caught(|| map(failure)));
        mapped.filter(|status| status.is_client_error() || status.is_server_error()).unwrap_or(status)
    }

    /// The sentence that was set for this failure, this request or the layer, in this order.
    fn message<'a>(&'a self, failure: &'a Failure, request: &'a RequestContext) -> Option<&'a str> {
        failure.message().or(request.message()).or(self.message.as_deref())
    }
}

/// The fields of an intercepted response that go out with an answer of this status. What was said of a status is not said of another one.
fn kept_fields(failure: &Failure, status: StatusCode) -> Option<&HeaderMap> {
    failure.kept_fields().filter(|_| failure.upstream_status() == Some(status))
}
