//! Formats for some failures only.

use std::sync::Arc;

use http::StatusCode;

use super::{Format, PublicFailure};
use crate::failure::{FailureClass, FailureKind};

/// The failures a format is for: those of one kind, of one class, or those answered with one status.
///
/// See [`BadGatewayLayer::format_for`](crate::BadGatewayLayer::format_for) for an example.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Scope {
    /// One kind.
    Kind(FailureKind),
    /// All kinds of one class.
    Class(FailureClass),
    /// Whatever is answered with this status.
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

/// The formats that stand in for the usual one.
#[derive(Clone, Default)]
pub(crate) struct FormatOverrides(Vec<(Scope, Arc<dyn Format>)>);

impl FormatOverrides {
    /// The last one set for a scope is the one.
    pub(crate) fn set(&mut self, scope: Scope, format: Arc<dyn Format>) {
        self.0.retain(|(known, _)| *known != scope);
        self.0.push((scope, format));
    }

    /// The narrowest that fits, in whatever order they were set.
    pub(crate) fn choose(&self, failure: &PublicFailure<'_>) -> Option<&dyn Format> {
        let kind = failure.kind();
        let scopes = [Some(Scope::Kind(kind)), kind.class().map(Scope::Class), Some(Scope::Status(failure.status()))];
        let find = |scope| self.0.iter().find(|(known, _)| *known == scope).map(|(_, format)| &**format);
        scopes.into_iter().flatten().find_map(find)
    }
}
