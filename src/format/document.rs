//! What JSON and problem details have in common.
//!
//! A format hands a [`Document`] its own members; this module adds what both say of every failure and the members of the user,
//! serialises them, and caches what depends on the kind alone. Only `json` and `problem` call it. It must not know requests: the
//! [`PublicFailure`] says what may be shown.
//!
//! Members are written in this order:
//!
//! | member | value | where it is present |
//! | --- | --- | --- |
//! | those of the format | see `Json` and `Problem` | always, `instance` apart |
//! | `code` | token of the kind | always |
//! | `status` | number | always |
//! | `retry_after` | seconds, a number | where the answer has `Retry-After` |
//! | `request_id` | string | where the request has an identifier |
//! | `origin` | object with `name` and `code` | where the client may see it and another hop reported an error |
//! | `cause` | string | where the client may see it |
//! | those of the user | any JSON value | if they were set, unless the name is [reserved](RESERVED) |

use std::{borrow::Cow, sync::Arc, sync::OnceLock};

use bytes::Bytes;
use http::HeaderValue;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;

use super::{Format, PlainText, PublicFailure, Representation, with_language};
use crate::{
    failure::{FailureKind, Intermediary},
    representation::ReadyFields,
};

/// The members a user adds to a document, in the order they were added.
///
/// No name is in the list twice. A reserved name may be in it, and is left out when the document is written.
#[derive(Clone, Default)]
pub(super) struct Members(Vec<(Cow<'static, str>, Member)>);

/// Where the value of a user's member comes from.
///
/// | state | set by | value |
/// | --- | --- | --- |
/// | `Fixed` | `member` | the same in every document |
/// | `Computed` | `member_with` | what the user's closure returns for the failure; `None` leaves the member out |
#[derive(Clone)]
pub(super) enum Member {
    Fixed(Value),
    Computed(Arc<ComputeMember>),
}

/// A user's closure that is called for every document.
pub(super) type ComputeMember = dyn Fn(&PublicFailure<'_>) -> Option<Value> + Send + Sync;

impl Members {
    /// No members.
    pub(super) const NONE: Self = Self(Vec::new());

    /// Adds a member at the end; an earlier one of the same name is removed.
    pub(super) fn set(&mut self, name: Cow<'static, str>, member: Member) {
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, member));
    }

    /// Whether a document has no member of the user, and may come from the cache.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names alone, for `Debug`: closures cannot be printed.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| &**name)
    }
}

/// The parts of one document.
pub(super) struct Document<'a> {
    /// The members of the format, in their order; those of value `None` are left out.
    pub(super) own: &'a [(&'static str, Option<&'a str>)],
    /// The failure that the document is about.
    pub(super) failure: &'a PublicFailure<'a>,
    /// The members of the user.
    pub(super) members: &'a Members,
}

impl Document<'_> {
    /// Writes the document, or takes the cached one of the kind: while an upstream is down, all documents are the same.
    ///
    /// The caller passes its `cache` only if no setting of the format is in the document. The cache is used if, besides, nothing
    /// of this request is in it. If a value cannot be serialised, the client is shown one line of text.
    pub(super) fn write(&self, media_type: HeaderValue, cache: Option<&'static DocumentCache>) -> Representation {
        let failure = self.failure;
        let cached = cache.filter(|_| failure.follows_from_kind()).and_then(|cache| cache.get(failure.kind().index()));
        if let Some((content, fields)) = cached.and_then(OnceLock::get) {
            let mut representation = with_language(failure, media_type, content.clone());
            representation.attach_ready_fields(fields);
            return representation;
        }
        let Ok(content) = serde_json::to_vec(self).map(Bytes::from) else { return PlainText.write(failure) };
        let representation = with_language(failure, media_type, content.clone());
        if let Some(cached) = cached {
            // If another task has cached the document of this kind meanwhile, it is the same one.
            let _ = cached.set((content, representation.to_ready_fields()));
        }
        representation
    }
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let failure = self.failure;
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.own.iter().filter_map(|(name, value)| Some((name, (*value)?))) {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry("code", failure.kind().token())?;
        map.serialize_entry("status", &failure.status().as_u16())?;
        if let Some(retry_after) = failure.retry_after() {
            map.serialize_entry("retry_after", &retry_after.as_secs())?;
        }
        if let Some(request_id) = failure.request_id() {
            map.serialize_entry("request_id", request_id.as_str())?;
        }
        if let Some(origin) = failure.origin() {
            map.serialize_entry("origin", &Origin(origin))?;
        }
        if let Some(cause) = failure.cause() {
            map.serialize_entry("cause", &cause)?;
        }
        for (name, member) in &self.members.0 {
            // Parsers differ in which of two members of the same name they keep (RFC 8259, section 4).
            if RESERVED.contains(&&**name) {
                continue;
            }
            match member {
                Member::Fixed(value) => map.serialize_entry(name, value)?,
                Member::Computed(compute) => {
                    if let Some(value) = compute(failure) {
                        map.serialize_entry(name, &value)?;
                    }
                }
            }
        }
        map.end()
    }
}

/// The hop that failed behind the upstream, by its own account: its name, and the proxy error type that it has reported.
struct Origin<'a>(&'a Intermediary);

impl Serialize for Origin<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", self.0.name())?;
        map.serialize_entry("code", &self.0.error())?;
        map.end()
    }
}

/// For every kind the document that was written first, and the header map of its answer.
///
/// Each of the two formats has one cache for the whole program, which all layers share and which is never emptied. It holds
/// nothing of a request, a layer or a user: only what follows from the kind.
pub(super) type DocumentCache = [OnceLock<(Bytes, ReadyFields)>; FailureKind::ALL.len()];

/// An empty cache, for the initial value of a `static`.
pub(super) const fn empty_cache() -> DocumentCache {
    [const { OnceLock::new() }; FailureKind::ALL.len()]
}

/// The names of the members of either format. A user's member of such a name is left out in both, so that a name means the same
/// in all documents.
const RESERVED: [&str; 12] = [
    "cause",
    "code",
    "detail",
    "error",
    "instance",
    "message",
    "origin",
    "request_id",
    "retry_after",
    "status",
    "title",
    "type",
];
