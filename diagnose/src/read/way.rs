//! The hops that have given a name, in `Via` or in `Proxy-Status`.

use http::{HeaderMap, header};
use tower_bad_gateway::proxy_status::ProxyStatus;

use super::{Asked, Place, by_gateway::named, clean, first};

/// From here on; the last one is the application, or `?`.
pub(crate) fn path(asked: &Asked, place: &Place) -> Vec<String> {
    let mut hops = vec!["client".to_owned()];
    let mut is_error = true;
    if let Ok(answer) = &asked.outcome {
        is_error = answer.status.as_u16() >= 400;
        // Nearest to the origin first, as in Proxy-Status.
        let mut names = via(&answer.headers);
        if names.is_empty() {
            let field = ProxyStatus::of(&answer.headers);
            names.extend(field.iter().flat_map(|field| field.intermediaries().iter().map(named)));
        }
        hops.extend(names.into_iter().rev());
    }
    let is_named = hops.len() > 1;
    if !is_named {
        hops.push(first(asked));
    }
    match place {
        Place::First(_) | Place::Here | Place::Client | Place::At(_) => {}
        Place::Nowhere | Place::NoneKnown if !is_named => {}
        Place::Nowhere | Place::NoneKnown if !is_error => hops.push("application".to_owned()),
        _ => hops.push("?".to_owned()),
    }
    hops
}

fn via(headers: &HeaderMap) -> Vec<String> {
    let elements = headers.get_all(header::VIA).into_iter().flat_map(|line| elements(line.as_bytes()));
    let names = elements.filter_map(|element| {
        let mut words = element.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).skip(1);
        words.next().map(|name| clean(name, 60))
    });
    names.take(16).collect()
}

/// What is between the commas, without comments: those may hold commas, too (RFC 9110, sections 5.6.5 and 7.6.3).
fn elements(line: &[u8]) -> Vec<Vec<u8>> {
    let (mut elements, mut depth, mut bytes) = (vec![Vec::new()], 0_usize, line.iter());
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\\' if depth > 0 => drop(bytes.next()),
            b'(' => depth = depth.saturating_add(1),
            b')' => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            b',' => elements.push(Vec::new()),
            _ => elements.last_mut().into_iter().for_each(|element| element.push(byte)),
        }
    }
    elements
}
