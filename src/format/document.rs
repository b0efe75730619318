//! What JSON and problem details have in common.

use std::{borrow::Cow, sync::Arc, sync::OnceLock};

use bytes::Bytes;
use http::HeaderValue;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;

use super::{Format, PlainText, PublicFailure, Representation, written};
use crate::{
    failure::{FailureKind, Intermediary},
    representation::ReadyFields,
};

/// The members a user adds to a document, in the order they were added.
#[derive(Clone, Default)]
pub(super) struct Members(Vec<(Cow<'static, str>, Member)>);

#[derive(Clone)]
pub(super) enum Member {
    Fixed(Value),
    Made(Arc<MakeMember>),
}

pub(super) type MakeMember = dyn Fn(&PublicFailure<'_>) -> Option<Value> + Send + Sync;

impl Members {
    /// The last one of a name is the one.
    pub(super) fn set(&mut self, name: Cow<'static, str>, member: Member) {
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, member));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| &**name)
    }
}

/// One document: a format's own members, then what it says of every failure, then the user's.
pub(super) struct Document<'a> {
    pub(super) own: &'a [(&'static str, Option<&'a str>)],
    pub(super) failure: &'a PublicFailure<'a>,
    pub(super) members: &'a Members,
}

impl Document<'_> {
    /// Writes it, or takes the one written before for this kind: while an upstream is down, all are the same.
    pub(super) fn write(&self, media_type: HeaderValue, usual: Option<&'static Usual>) -> Representation {
        let failure = self.failure;
        let usual = usual.filter(|_| failure.is_usual()).and_then(|usual| usual.get(failure.kind().index()));
        if let Some((content, fields)) = usual.and_then(OnceLock::get) {
            return written(failure, media_type, content.clone()).ready(fields);
        }
        let Ok(content) = serde_json::to_vec(self).map(Bytes::from) else { return PlainText.write(failure) };
        let written = written(failure, media_type, content.clone());
        if let Some(usual) = usual {
            // Whoever comes second finds the same.
            let _ = usual.set((content, written.fields()));
        }
        written
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
            // A name twice is not a document everyone reads alike.
            if RESERVED.contains(&&**name) {
                continue;
            }
            match member {
                Member::Fixed(value) => map.serialize_entry(name, value)?,
                Member::Made(make) => {
                    if let Some(value) = make(failure) {
                        map.serialize_entry(name, &value)?;
                    }
                }
            }
        }
        map.end()
    }
}

/// The hop that failed behind the upstream.
struct Origin<'a>(&'a Intermediary);

impl Serialize for Origin<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", self.0.name())?;
        map.serialize_entry("code", &self.0.error())?;
        map.end()
    }
}

/// One document a kind that was written before, and the fields of an answer with it.
pub(super) type Usual = [OnceLock<(Bytes, ReadyFields)>; FailureKind::ALL.len()];

pub(super) const fn usual() -> Usual {
    [const { OnceLock::new() }; FailureKind::ALL.len()]
}

/// The members of either document.
const RESERVED: [&str; 11] =
    ["cause", "code", "detail", "error", "instance", "origin", "request_id", "retry_after", "status", "title", "type"];
