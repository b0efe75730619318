//! What can be read from the default pages of others.

use tower_bad_gateway::FailureKind;

use super::{Answer, Diagnosis, Place, Speaker, Sure, place};
use crate::foreign::{self, Says, Sign};

pub(super) fn looks(answer: &Answer) -> Option<Diagnosis> {
    let status = answer.status.as_u16();
    // A page about a failure is no failure.
    if status < 400 {
        return None;
    }
    let Sign { product, says, look } = foreign::sign(status, &answer.headers, &answer.body)?;
    let speaker = Speaker::named(product, None);
    let mut diagnosis = match says {
        Says::Failed(kind) => {
            let mut diagnosis = speaker.tells(kind, Some(status), place(kind, Some(product)), Sure::Looks);
            if kind == FailureKind::HttpResponseTimeout {
                diagnosis.means = LATE.to_owned();
            }
            diagnosis
        }
        Says::Own if status >= 500 => {
            let place = Place::AtOrBehind(product.to_owned());
            let mut diagnosis = speaker.tells(FailureKind::Unclassified, Some(status), place, Sure::Looks);
            diagnosis.verdict =
                format!("{product} answered {status} with a page of its own: it, or a hop behind it, failed.");
            diagnosis.means = format!(
                "{product} shows such a page when it fails or is made to, and may show it for a hop behind it."
            );
            diagnosis.checks.clear();
            diagnosis
        }
        Says::Own => Diagnosis {
            place: Place::Nowhere,
            failed: false,
            kind: None,
            sure: Sure::Looks,
            verdict: format!("No hop failed: {product} answered {status}, the page is one of its own."),
            means: "It did not want the request so, or was made to say so for a hop behind it.".to_owned(),
            checks: Vec::new(),
            untold: None,
        },
    };
    let why = if diagnosis.kind == Some(FailureKind::Unclassified) { " It does not say why." } else { "" };
    let untold = format!(
        "This {status} has the looks of {product}; it gives no name, so it may be any {product} on the way.{why}"
    );
    diagnosis.untold = Some(untold);
    diagnosis.checks.insert(0, look.to_owned());
    Some(diagnosis)
}

/// Others say 504 of a connection that was not made, too.
pub(super) const LATE: &str = "It waited too long: for the connection or for the answer, which is not told.";
