//! Which responses of the upstream are answered by the layer in their place, although nothing is wrong with them.
//!
//! `layer` makes a [validator](Validate) of a rule, which runs among the others in the order in which they were set. A rule decides by the
//! head; what the answer looks like is decided by `policy`, as that of any failure.

use std::{fmt, sync::Arc};

use http::{
    HeaderMap, HeaderName, StatusCode,
    header::{ALLOW, PROXY_AUTHENTICATE, RETRY_AFTER, UPGRADE, WWW_AUTHENTICATE},
};

use super::{ResponseHead, Validate};
use crate::{
    context::RequestContext,
    failure::{Failure, FailureKind},
    fields::retry_after,
};

/// Which responses [`BadGatewayLayer::intercept`](crate::BadGatewayLayer::intercept) answers in their place.
///
/// A response that all conditions of a rule fit is not forwarded. Its client gets an answer of the layer, with the status of the response: in the
/// format it has asked for. The failure is [`ReceivedStatus`](FailureKind::ReceivedStatus), and [`Failure::upstream_status`] says which. The status stays if it is a 4xx or 5xx, and
/// [`map_status`](crate::BadGatewayLayer::map_status) may choose another; in the place of any other response 502 is answered. A 426 with
/// `Upgrade` passes: what it asks for cannot be said in an answer of the layer.
///
/// ```
/// use http::HeaderName;
/// use tower_bad_gateway::{BadGatewayLayer, validate::Intercept};
///
/// const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// let layer = BadGatewayLayer::new()
///     // What the upstream says of its own faults stays inside.
///     .intercept(Intercept::server_errors())
///     // A 404 of the shop that has a page of its own passes; one that has none is given ours.
///     .intercept(Intercept::statuses([404, 410]).without_content())
///     // The routes of the API have error documents of their own, but for the limit on requests.
///     .intercept(
///         Intercept::statuses([429])
///             .when(|_, request| request.path().starts_with("/api/"))
///             .keep_fields([RATE_LIMIT]),
///     );
/// ```
#[derive(Clone)]
pub struct Intercept {
    /// Sorted; `None` stands for all.
    statuses: Option<Vec<u16>>,
    /// Whether only a response without content is intercepted.
    only_without_content: bool,
    conditions: Vec<Arc<Condition>>,
    /// The fields of the response that the answer has as well.
    kept_fields: Vec<HeaderName>,
}

/// A user's condition.
type Condition = dyn Fn(&ResponseHead<'_>, &RequestContext) -> bool + Send + Sync;

impl Intercept {
    /// Every response: to be narrowed by [`when`](Self::when).
    #[must_use]
    pub fn any() -> Self {
        Self {
            statuses: None,
            only_without_content: false,
            conditions: Vec::new(),
            kept_fields: vec![RETRY_AFTER, WWW_AUTHENTICATE, PROXY_AUTHENTICATE, ALLOW],
        }
    }

    /// The responses with one of these status codes, such as `[404, 410]` or `502..=504`. A single [`StatusCode`] is a rule by `Into`.
    #[must_use]
    pub fn statuses(codes: impl IntoIterator<Item = u16>) -> Self {
        let mut statuses: Vec<u16> = codes.into_iter().collect();
        statuses.sort_unstable();
        Self { statuses: Some(statuses), ..Self::any() }
    }

    /// The responses with a status from 400 to 499.
    #[must_use]
    pub fn client_errors() -> Self {
        Self::statuses(400..=499)
    }

    /// The responses with a status from 500 to 599.
    #[must_use]
    pub fn server_errors() -> Self {
        Self::statuses(500..=599)
    }

    /// Leaves the responses alone that have content: what an upstream has written for its clients passes, and a bare status gets a page.
    ///
    /// It is decided before the body is read: see [`ResponseHead::has_content`]. By default responses with content are intercepted as well.
    #[must_use]
    pub fn without_content(mut self) -> Self {
        self.only_without_content = true;
        self
    }

    /// Adds a condition on the head of the response and the request, such as its path. All conditions of a rule have to hold.
    ///
    /// The path is that of the request as the layer sees it: without a prefix that a router outside has removed, as axum's `nest` does.
    ///
    /// The closure runs in the task that serves the request, for the responses whose status fits: it must not block. If it panics, the client is
    /// answered 500, as after any [validator](Validate) that panics.
    #[must_use]
    pub fn when(
        mut self,
        condition: impl Fn(&ResponseHead<'_>, &RequestContext) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.conditions.push(Arc::new(condition));
        self
    }

    /// Adds fields of the response that the answer has as well, besides `Retry-After`, `WWW-Authenticate`, `Proxy-Authenticate` and `Allow`, without which a
    /// 503, a 401 ([RFC 9110, section 15.5.2](https://www.rfc-editor.org/rfc/rfc9110#section-15.5.2)), a 407 and a 405
    /// ([section 15.5.6](https://www.rfc-editor.org/rfc/rfc9110#section-15.5.6)) say half.
    ///
    /// What a server writes into any other field may not be meant for clients. The fields are kept as long as the answer has the status of the
    /// response, so not where [`map_status`](crate::BadGatewayLayer::map_status) chooses another, and in the place of the layer's own of the same
    /// name. What describes the message (its length, its coding, its range) is ignored, and an answer in gRPC has none of them.
    #[must_use]
    pub fn keep_fields(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.kept_fields.extend(names);
        self
    }

    /// Keeps no field of the response, those that are kept by default included; fields that are [added](Self::keep_fields) after it are kept.
    #[must_use]
    pub fn keep_no_fields(mut self) -> Self {
        self.kept_fields.clear();
        self
    }

    /// Whether the rule is for this response.
    fn fits(&self, head: &ResponseHead<'_>, request: &RequestContext) -> bool {
        let is_upgrade = head.status() == StatusCode::UPGRADE_REQUIRED && head.headers().contains_key(UPGRADE);
        !is_upgrade
            && self.statuses.as_ref().is_none_or(|statuses| statuses.binary_search(&head.status().as_u16()).is_ok())
            && !(self.only_without_content && head.has_content())
            && self.conditions.iter().all(|condition| condition(head, request))
    }

    /// The failure of a response that is intercepted.
    #[cold]
    fn failure(&self, headers: &HeaderMap) -> Failure {
        let mut kept = HeaderMap::new();
        for name in &self.kept_fields {
            // A name may be there twice.
            if kept.contains_key(name) {
                continue;
            }
            for value in headers.get_all(name) {
                kept.append(name.clone(), value.clone());
            }
        }
        let delay = retry_after(&kept);
        let failure = Failure::new(FailureKind::ReceivedStatus).with_kept_fields(kept);
        match delay {
            Some(delay) => failure.with_retry_after(delay),
            None => failure,
        }
    }
}

impl Validate for Intercept {
    fn validate(&self, head: &ResponseHead<'_>, request: &RequestContext) -> Result<(), Failure> {
        if self.fits(head, request) { Err(self.failure(head.headers())) } else { Ok(()) }
    }
}

/// The responses with this status.
impl From<StatusCode> for Intercept {
    fn from(status: StatusCode) -> Self {
        Self::statuses([status.as_u16()])
    }
}

impl fmt::Debug for Intercept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intercept")
            .field("statuses", &self.statuses)
            .field("only_without_content", &self.only_without_content)
            .field("conditions", &self.conditions.len())
            .field("kept_fields", &self.kept_fields)
            .finish()
    }
}
