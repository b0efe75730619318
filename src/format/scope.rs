//! Settings for some failures only: formats and fallbacks.
//!
//! `layer` fills a [`ByScope`] when a user calls [`format_for`](crate::BadGatewayLayer::format_for) or
//! [`fallback_for`](crate::BadGatewayLayer::fallback_for); `policy` asks for one after a failure, when the status of the answer is decided, and
//! uses what is set for all failures if there is none. Neither knows how one is chosen, and this module does not know what it does.

use std::sync::Arc;

use http::StatusCode;

use crate::failure::{FailureClass, FailureKind};

/// The failures that a setting is for: those of one kind, of one class, or those answered with one status.
///
/// A [`FailureKind`], a [`FailureClass`] and a [`StatusCode`] become a scope by `Into`, so it seldom has to be named. Where
/// several scopes fit one failure, the variants are asked in the order in which they stand here.
///
/// See [`BadGatewayLayer::format_for`](crate::BadGatewayLayer::format_for) for an example.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Scope {
    /// The failures of one kind, with any status.
    Kind(FailureKind),
    /// The failures of all kinds of one [class](FailureKind::class). Two kinds belong to none: `ReceivedStatus` and
    /// `Unclassified`.
    Class(FailureClass),
    /// The failures that are answered with this status, which [`map_status`](crate::BadGatewayLayer::map_status) may have chosen.
    Status(StatusCode),
}

impl From<FailureKind> for Scope {
    fn from(kind: FailureKind) -> Self {
        Self::Kind(kind)
    }
}

impl From<FailureClass> for Scope {
    fn from(class: FailureClass) -> Self {
        Self::Class(class)
    }
}

impl From<StatusCode> for Scope {
    fn from(status: StatusCode) -> Self {
        Self::Status(status)
    }
}

/// What users have set for some failures, each scope at most once.
pub(crate) struct ByScope<T: ?Sized>(Vec<(Scope, Arc<T>)>);

impl<T: ?Sized> ByScope<T> {
    /// Whether nothing was set.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets the value of a scope; an earlier one of the same scope is removed.
    pub(crate) fn set(&mut self, scope: Scope, value: Arc<T>) {
        self.0.retain(|(known, _)| *known != scope);
        self.0.push((scope, value));
    }

    /// The value of the narrowest scope that fits: kind before class before status. The order in which they were set does not matter. `None` if
    /// no scope fits.
    pub(crate) fn choose(&self, kind: FailureKind, status: StatusCode) -> Option<&Arc<T>> {
        let scopes = [Some(Scope::Kind(kind)), kind.class().map(Scope::Class), Some(Scope::Status(status))];
        let find = |scope| self.0.iter().find(|(known, _)| *known == scope).map(|(_, value)| value);
        scopes.into_iter().flatten().find_map(find)
    }
}

impl<T: ?Sized> Clone for ByScope<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: ?Sized> Default for ByScope<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}
