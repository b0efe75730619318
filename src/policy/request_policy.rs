//! What a request brings along that changes how it is answered.
//!
//! `service` looks for it when the layer is called. It stands here and not in `context`, with the other extensions, since it may hold a format.

use std::{fmt, sync::Arc};

use http::Extensions;

use crate::{
    context::{Overrides, RequestContext},
    format::Format,
};

/// A request extension: what the layer does otherwise for this request.
///
/// What is not set here stays as the layer has it. Where several pieces of middleware set something, each edits what is there
/// ([`edit`](Self::edit)); one that is inserted replaces all of it.
///
/// ```
/// use http::Request;
/// use tower_bad_gateway::{RequestPolicy, format::PlainText};
///
/// let mut request = Request::get("/status").body(String::new()).unwrap();
/// if request.uri().path() == "/status" {
///     request.extensions_mut().insert(RequestPolicy::new().skip_validators().format(PlainText));
/// }
/// ```
///
/// Time limits have an extension of their own: [`Timeouts`](crate::context::Timeouts).
#[derive(Clone, Default)]
pub struct RequestPolicy {
    message: Option<Arc<str>>,
    skips_validators: bool,
    skips_fallback: bool,
    discloses: Option<bool>,
    format: Option<Arc<dyn Format>>,
}

impl RequestPolicy {
    /// Starts with nothing changed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes what the extensions of a request hold, or begins with nothing changed.
    ///
    /// ```
    /// use http::Request;
    /// use tower_bad_gateway::RequestPolicy;
    ///
    /// let mut request = Request::new(());
    /// RequestPolicy::edit(request.extensions_mut(), |policy| policy.disclose(true));
    /// RequestPolicy::edit(request.extensions_mut(), RequestPolicy::skip_fallback);
    /// ```
    pub fn edit(extensions: &mut Extensions, change: impl FnOnce(Self) -> Self) {
        let policy = extensions.remove::<Self>().unwrap_or_default();
        extensions.insert(change(policy));
    }

    /// Sets the sentence that the client is shown, in the place of the layer's [own](crate::BadGatewayLayer::message): in every format, and in
    /// `grpc-message`. A sentence that is set on the [`Failure`](crate::Failure::with_message) goes before it. **Public**: put nothing in it that a
    /// stranger may not read.
    #[must_use]
    pub fn message(mut self, text: impl Into<Arc<str>>) -> Self {
        self.message = Some(text.into());
        self
    }

    /// Runs no [validators](crate::BadGatewayLayer::validate) and no [interceptions](crate::BadGatewayLayer::intercept): the response of the
    /// upstream goes to the client with any status. The rules of HTTP hold all the same.
    #[must_use]
    pub fn skip_validators(mut self) -> Self {
        self.skips_validators = true;
        self
    }

    /// Asks no [fallback](crate::BadGatewayLayer::fallback): the format answers.
    #[must_use]
    pub fn skip_fallback(mut self) -> Self {
        self.skips_fallback = true;
        self
    }

    /// Sets whether the client is shown what is private, in the place of the layer's [predicate](crate::BadGatewayLayer::disclose). **Error texts,
    /// addresses and names from the inside are among it.**
    #[must_use]
    pub fn disclose(mut self, discloses: bool) -> Self {
        self.discloses = Some(discloses);
        self
    }

    /// Sets what the client is shown, in the place of all [formats](crate::BadGatewayLayer::format) of the layer. gRPC requests are answered in gRPC
    /// all the same. Fields of the request that the format [reads](Format::reads) have to be kept by the
    /// [layer](crate::BadGatewayLayer::capture_fields).
    #[must_use]
    pub fn format(mut self, format: impl Format + 'static) -> Self {
        self.format = Some(Arc::new(format));
        self
    }

    /// Notes what the policy says of the request in whose extensions it stands.
    pub(crate) fn apply(&self, overrides: &mut Overrides) {
        overrides.message = self.message.clone();
        overrides.skips_validators = self.skips_validators;
        overrides.discloses = self.discloses;
        overrides.extensions.insert(self.clone());
    }

    /// Whether no fallback is asked.
    pub(super) fn skips_fallback(request: &RequestContext) -> bool {
        request.extension::<Self>().is_some_and(|policy| policy.skips_fallback)
    }

    /// The format of the request.
    pub(super) fn format_of(request: &RequestContext) -> Option<&Arc<dyn Format>> {
        request.extension::<Self>()?.format.as_ref()
    }
}

impl fmt::Debug for RequestPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestPolicy")
            .field("message", &self.message)
            .field("skips_validators", &self.skips_validators)
            .field("skips_fallback", &self.skips_fallback)
            .field("discloses", &self.discloses)
            .field("format", &self.format.is_some())
            .finish()
    }
}
