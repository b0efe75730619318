//! The error behind a failure.

use std::error::Error;

use super::{BoxError, Failure};

/// The error behind a failure, in the box in which it came: to put it into an `Arc` would copy it to a new place, for every failure, while
/// few are shared and changed then.
pub(super) enum Source {
    Own(BoxError),
    /// That of the failure of which this one is a changed copy.
    Of(Failure),
}

impl Source {
    /// The source of a copy of `failure`, which owns its own.
    #[cold]
    pub(super) fn of_copy(failure: &Failure) -> Option<Self> {
        Some(Self::Of(match failure.0.source.as_ref()? {
            Self::Own(_) => failure.clone(),
            Self::Of(owner) => owner.clone(),
        }))
    }

    pub(super) fn error(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        match self {
            Self::Own(error) => Some(&**error),
            Self::Of(owner) => owner.0.source.as_ref()?.error(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{FailureKind, Phase};

    #[test]
    fn a_changed_copy_has_the_source_of_the_first() {
        let text = |failure: &Failure| failure.source().unwrap().to_string();
        let first = Failure::new(FailureKind::ConnectionRefused).with_source("refused");
        let copy = first.clone().with_phase(Phase::Connect);
        let copy_of_copy = copy.clone().with_retry_after(std::time::Duration::from_secs(1));
        assert!([&first, &copy, &copy_of_copy].into_iter().all(|failure| text(failure) == "refused"));
        // The copies do not keep each other, and the first is not changed.
        assert_eq!(
            (first.phase(), copy.phase(), copy_of_copy.phase()),
            (Phase::Unknown, Phase::Connect, Phase::Connect)
        );
        drop((first, copy));
        assert_eq!(text(&copy_of_copy), "refused");
        assert!(format!("{copy_of_copy:?}").contains(r#"source: Some("refused")"#), "{copy_of_copy:?}");
        // One that gets a source of its own, and one that has none.
        assert_eq!(text(&copy_of_copy.clone().with_source("reset")), "reset");
        let none = Failure::new(FailureKind::ConnectionRefused);
        assert!(none.clone().with_phase(Phase::Connect).source().is_none() && none.source().is_none());
    }
}
