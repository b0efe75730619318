//! Formats for some failures only.
//!
//! `layer` fills [`FormatOverrides`] when a user calls [`format_for`](crate::BadGatewayLayer::format_for); `policy::presentation`
//! asks for one after a failure, when the status of the answer is decided, and uses the layer's own format if there is none.
//! Neither knows how a format is chosen, and this module does not know what a format writes.

use std::sync::Arc;

use http::StatusCode;

use super::{Format, PublicFailure};
use crate::failure::{FailureClass, FailureKind};

/// The failures a format is for: those of one kind, of one class, or those answered with one status.
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

/// The formats that users have set for some failures, each scope at most once.
#[derive(Clone, Default)]
pub(crate) struct FormatOverrides(Vec<(Scope, Arc<dyn Format>)>);

impl FormatOverrides {
    /// Sets the format of a scope; an earlier one of the same scope is removed.
    pub(crate) fn set(&mut self, scope: Scope, format: Arc<dyn Format>) {
        self.0.retain(|(known, _)| *known != scope);
        self.0.push((scope, format));
    }

    /// The format of the narrowest scope that fits: kind before class before status. The order in which they were set does
    /// not matter. `None` if no scope fits.
    pub(crate) fn choose(&self, failure: &PublicFailure<'_>) -> Option<&dyn Format> {
        let kind = failure.kind();
        let scopes = [Some(Scope::Kind(kind)), kind.class().map(Scope::Class), Some(Scope::Status(failure.status()))];
        let find = |scope| self.0.iter().find(|(known, _)| *known == scope).map(|(_, format)| &**format);
        scopes.into_iter().flatten().find_map(find)
    }
}
