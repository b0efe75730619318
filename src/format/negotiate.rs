//! The choice between formats by `Accept`.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use http::HeaderValue;

#[cfg(feature = "html")]
use super::Html;
use super::{
    Format, PlainText, PublicFailure, Representation,
    accept::{Fit, Range, ranges},
    written_by,
};
#[cfg(feature = "json")]
use super::{Json, Problem};

/// Chooses a format by the `Accept` field of the request
/// ([RFC 9110, section 12.5.1](https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1)).
///
/// Of all media ranges that fit an offer the most specific one gives it its weight. The offer of the greatest weight is
/// sent; of several, one that is named outright before one that only a wildcard allows, and then the one offered first. A
/// weight of 0 rules an offer out.
///
/// Without `Accept`, or when nothing fits, the first offer that is not ruled out is sent, and the first of all if every one
/// is: a client that cannot read the reason can still read the status
/// ([section 12.4.1](https://www.rfc-editor.org/rfc/rfc9110#section-12.4.1)). An element of the field that is broken is
/// dropped and the others count. The first 64 elements are looked at; a field of more than 4 KiB counts as absent.
///
/// The answer says `Vary: Accept`. Nothing is read, and nothing allocated, before something has failed.
///
/// ```
/// use tower_bad_gateway::{BadGatewayLayer, format::{Negotiate, PlainText}};
///
/// // Text to everyone who does not ask for one of the usual formats.
/// let layer = BadGatewayLayer::new().format(Negotiate::empty().offer("text/plain", PlainText).usual());
/// ```
#[derive(Clone)]
pub struct Negotiate {
    offers: Vec<Offer>,
    chosen: Chosen,
}

#[derive(Clone)]
struct Offer {
    text: &'static str,
    media_type: Range<'static>,
    format: Arc<dyn Format>,
}

impl Negotiate {
    /// The [usual](Self::usual) offers.
    #[must_use]
    pub fn new() -> Self {
        Self::empty().usual()
    }

    /// No offers: [`PlainText`] is sent until there is one.
    #[must_use]
    pub fn empty() -> Self {
        Self { offers: Vec::new(), chosen: Chosen::default() }
    }

    /// Offers a format under a media type, such as `text/csv` or `text/plain;format=flowed`.
    ///
    /// A media type that is offered already gets the new format and keeps its place. An offer without a `charset` counts as
    /// UTF-8. A text that is no media type, or one with a wildcard, is not offered.
    ///
    /// It is what clients may ask for; what they are sent is the media type of the [`Representation`].
    #[must_use]
    pub fn offer(self, media_type: &'static str, format: impl Format + 'static) -> Self {
        self.offer_shared(media_type, Arc::new(format))
    }

    /// Offers the formats of this crate, as far as their media types are not offered yet: problem details and JSON (feature
    /// `json`), the page for browsers (feature `html`), one line of text, which comes first where there is no JSON.
    #[must_use]
    pub fn usual(self) -> Self {
        let usual = Self::empty();
        #[cfg(feature = "json")]
        let usual = usual.offer("application/problem+json", Problem::new()).offer("application/json", Json::new());
        // The first offer is for those who ask for nothing, and that is no browser.
        #[cfg(not(feature = "json"))]
        let usual = usual.offer("text/plain", PlainText);
        #[cfg(feature = "html")]
        let usual = usual.html(Html::new());
        let usual = usual.offer("text/plain", PlainText);
        let add = |this: Self, offer: Offer| if this.place_of(&offer).is_some() { this } else { this.add(offer) };
        usual.offers.into_iter().fold(self, add)
    }

    /// Offers a page to browsers: as `text/html` and as `application/xhtml+xml`, which asks for the same.
    ///
    /// ```
    /// use http::HeaderValue;
    /// use tower_bad_gateway::{BadGatewayLayer, format::{Negotiate, Static}};
    ///
    /// let page = Static::new(HeaderValue::from_static("text/html; charset=utf-8"), "<!doctype html>...");
    /// // In the place of our own page; programs still get what they ask for.
    /// let layer = BadGatewayLayer::new().format(Negotiate::new().html(page));
    /// ```
    #[must_use]
    pub fn html(self, page: impl Format + 'static) -> Self {
        let page: Arc<dyn Format> = Arc::new(page);
        self.offer_shared("text/html", Arc::clone(&page)).offer_shared("application/xhtml+xml", page)
    }

    fn offer_shared(self, text: &'static str, format: Arc<dyn Format>) -> Self {
        match Range::read(text.as_bytes()).filter(|range| !range.is_wild()) {
            Some(media_type) => self.add(Offer { text, media_type, format }),
            None => self,
        }
    }

    fn place_of(&self, offer: &Offer) -> Option<usize> {
        self.offers.iter().position(|known| known.media_type.is(&offer.media_type))
    }

    fn add(mut self, offer: Offer) -> Self {
        match self.place_of(&offer).and_then(|place| self.offers.get_mut(place)) {
            Some(known) => *known = offer,
            None => self.offers.push(offer),
        }
        self.chosen = Chosen::default();
        self
    }

    fn choose(&self, accept: Option<&HeaderValue>) -> Option<&Offer> {
        let accept = accept.map_or(&b""[..], HeaderValue::as_bytes);
        let accept = if accept.len() > MOST_BYTES { b"" } else { accept };
        let place = self.chosen.get_or(accept, || self.weigh(accept));
        self.offers.get(place)
    }

    /// The place of the offer to send.
    fn weigh(&self, accept: &[u8]) -> usize {
        let mut best: Option<((u64, Fit), usize)> = None;
        let mut unnamed = None;
        // As many as stand in a row without a list, which are all of the usual ones.
        for (row, offers) in self.offers.chunks(IN_A_ROW).enumerate() {
            let mut fits = [0; IN_A_ROW];
            for range in ranges(accept) {
                for (offer, fit) in offers.iter().zip(&mut fits) {
                    // The most specific range decides, not the one of the greatest weight.
                    *fit = range.fit(&offer.media_type).max(*fit);
                }
            }
            for (place, fit) in (row * IN_A_ROW..).zip(fits).take(offers.len()) {
                let preference = (Range::weight_of(fit), fit);
                if fit == 0 {
                    unnamed = unnamed.or(Some(place));
                } else if best.is_none_or(|(so_far, _)| preference > so_far) {
                    best = Some((preference, place));
                }
            }
        }
        let wanted = best.filter(|((weight, _), _)| *weight > 0).map(|(_, place)| place);
        wanted.or(unnamed).unwrap_or(0)
    }
}

impl Default for Negotiate {
    /// The same as [`new`](Self::new).
    fn default() -> Self {
        Self::new()
    }
}

impl Format for Negotiate {
    fn write(&self, failure: &PublicFailure<'_>) -> Representation {
        let format = self.choose(failure.accept).map_or(&PlainText as &dyn Format, |offer| &*offer.format);
        written_by(format, failure).negotiated()
    }
}

impl fmt::Debug for Negotiate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.offers.iter().map(|offer| offer.text)).finish()
    }
}

/// What was chosen lately: while an upstream is down, the same kinds of clients ask again and again. Nobody waits for it: whoever
/// finds it taken chooses anew.
#[derive(Default)]
struct Chosen(Mutex<Choices>);

#[derive(Default)]
struct Choices {
    by_accept: [(Vec<u8>, usize); MOST_CHOICES],
    known: usize,
    oldest: usize,
}

impl Chosen {
    fn get_or(&self, accept: &[u8], choose: impl FnOnce() -> usize) -> usize {
        let Ok(mut choices) = self.0.try_lock() else { return choose() };
        choices.find(accept).unwrap_or_else(|| {
            let place = choose();
            choices.add(accept, place);
            place
        })
    }
}

impl Choices {
    fn find(&self, accept: &[u8]) -> Option<usize> {
        let mut known = self.by_accept.iter().take(self.known);
        known.find(|(known, _)| known == accept).map(|(_, place)| *place)
    }

    fn add(&mut self, accept: &[u8], place: usize) {
        if accept.len() > LONGEST_REMEMBERED {
            return;
        }
        if let Some((known, of_known)) = self.by_accept.get_mut(self.oldest) {
            known.clear();
            // Once for all that will stand there.
            known.reserve_exact(LONGEST_REMEMBERED);
            known.extend_from_slice(accept);
            *of_known = place;
        }
        self.known = MOST_CHOICES.min(self.known + 1);
        self.oldest = (self.oldest + 1) % MOST_CHOICES;
    }
}

/// Another one has its own memory.
impl Clone for Chosen {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// A browser's document, its scripts, an API client, a health check.
const MOST_CHOICES: usize = 4;

/// In bytes. Those of browsers have 140.
const LONGEST_REMEMBERED: usize = 256;

const IN_A_ROW: usize = 8;

/// More is not a preference, it is an attack.
const MOST_BYTES: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "text/plain";
    const CSV: &str = "text/csv";

    fn offers() -> Negotiate {
        Negotiate::empty().offer(TEXT, PlainText).offer(CSV, PlainText)
    }

    fn chosen(offers: &Negotiate, accept: &str) -> &'static str {
        offers.choose(Some(&accept.parse().unwrap())).unwrap().text
    }

    #[test]
    fn what_is_remembered_is_what_would_be_chosen() {
        let long = format!("{}, text/csv", "a/b, ".repeat(60));
        let asked = [TEXT, CSV, "*/*", "text/*;q=0, text/csv", "text/plain;q=0", "image/png", &long];
        let expected = [TEXT, CSV, TEXT, CSV, CSV, TEXT, CSV];
        let offers = offers();
        // Each after each other, so that every one is met as the newest, as the oldest, and after it was forgotten.
        let pairs = (0..asked.len()).flat_map(|one| (0..asked.len()).flat_map(move |other| [one, other, one]));
        let wrong: Vec<_> = pairs.filter(|&at| chosen(&offers, asked[at]) != expected[at]).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        let mut choices = offers.chosen.0.lock().unwrap();
        assert_eq!((choices.known, choices.find(long.as_bytes())), (MOST_CHOICES, None), "a long field is not kept");
        // It is this that the next client gets; and whoever finds it taken gets the same as ever.
        choices.add(b"application/json", 1);
        assert_eq!(chosen(&offers, "application/json"), TEXT);
        drop(choices);
        assert_eq!(chosen(&offers, "application/json"), CSV);
        assert_eq!(chosen(&offers.clone(), "application/json"), TEXT, "a clone has its own memory");
    }

    #[test]
    fn an_offer_that_comes_later_is_not_overlooked() {
        let offers = offers();
        assert_eq!(chosen(&offers, "text/html, text/csv;q=0.5"), CSV);
        assert_eq!(chosen(&offers.offer("text/html", PlainText), "text/html, text/csv;q=0.5"), "text/html");
    }
}
