//! The choice between formats by `Accept`.
//!
//! After a failure the policy calls [`Negotiate::write`](Format::write), and then, in this order:
//!
//! 1. The field is looked up in the [cache](ChoiceCache) of the last choices.
//! 2. If it is not there, [`Negotiate::weigh`] reads the field with `accept::ranges`, compares every range with every offer, and
//!    the cache keeps the result.
//! 3. The chosen format writes, with one line of text in its place if it panics, and the representation is marked as negotiated.
//!
//! Status, framing and fields are none of the business of this module, and neither is the grammar of the field.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use http::{HeaderName, HeaderValue};

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
/// The answer says `Vary: Accept` ([section 12.5.5](https://www.rfc-editor.org/rfc/rfc9110#section-12.5.5)), also when the chosen
/// format panics and [`PlainText`] takes its place. No format is weighed before a failure.
///
/// | `Accept`, with the [usual](Self::usual) offers | sent | because |
/// | --- | --- | --- |
/// | `application/json;q=0.5, text/plain;q=0.6` | text | the greater weight wins |
/// | `text/plain, application/json` | JSON | the weights are equal, and JSON is offered first |
/// | `*/*, text/plain` | text | it is named outright |
/// | `*/*, application/problem+json;q=0` | JSON | the first offer is ruled out |
/// | `image/png` | problem details | nothing fits |
///
/// Not for a choice by kind or status of the failure: see [`format_for`](crate::BadGatewayLayer::format_for), which takes a
/// `Negotiate` as well.
///
/// ```
/// use tower_bad_gateway::{BadGatewayLayer, format::{Negotiate, PlainText}};
///
/// // Text to everyone who does not ask for one of the usual formats.
/// let layer = BadGatewayLayer::new().format(Negotiate::empty().offer("text/plain", PlainText).usual());
/// ```
#[derive(Clone)]
pub struct Negotiate {
    /// In the order in which they were added; no media type is in it twice.
    offers: Vec<Offer>,
    /// The last choices among exactly these offers.
    cache: ChoiceCache,
}

/// A format, and the media type by which clients ask for it.
#[derive(Clone)]
struct Offer {
    /// The media type as the user wrote it, for `Debug`.
    text: &'static str,
    /// The same text, parsed once; it has no wildcard.
    media_type: Range<'static>,
    /// What writes the representation when this offer is chosen.
    format: Arc<dyn Format>,
}

impl Negotiate {
    /// The [usual](Self::usual) offers. This is the format of a layer for which none was set.
    #[must_use]
    pub fn new() -> Self {
        Self::empty().usual()
    }

    /// No offers: [`PlainText`] is sent until there is one.
    ///
    /// With this the order is yours to choose, and with it the default: what is offered first is sent where nothing fits.
    #[must_use]
    pub fn empty() -> Self {
        Self { offers: Vec::new(), cache: ChoiceCache::default() }
    }

    /// Offers a format under a media type, such as `text/csv` or `text/plain;format=flowed`.
    ///
    /// A media type that is offered already gets the new format and keeps its place. An offer without a `charset` counts as
    /// UTF-8. A text that is no media type, or one with a wildcard, is not offered.
    ///
    /// `media_type` is what clients may ask for; what they are sent is the media type of the [`Representation`].
    ///
    /// ```
    /// use http::HeaderValue;
    /// use tower_bad_gateway::{BadGatewayLayer, format::{Negotiate, PublicFailure, Representation}};
    ///
    /// let csv = |failure: &PublicFailure<'_>| {
    ///     let line = format!("{},{}\r\n", failure.status().as_u16(), failure.kind().token());
    ///     Representation::new(HeaderValue::from_static("text/csv"), line)
    /// };
    /// // Besides the usual ones, for those who ask for it:
    /// let layer = BadGatewayLayer::new().format(Negotiate::new().offer("text/csv", csv));
    /// ```
    #[must_use]
    pub fn offer(self, media_type: &'static str, format: impl Format + 'static) -> Self {
        self.offer_shared(media_type, Arc::new(format))
    }

    /// Offers the formats of this crate, as far as their media types are not offered yet: problem details and JSON (feature
    /// `json`), the page for browsers (feature `html`), one line of text, which comes first where there is no JSON.
    ///
    /// Offers that are there already keep their places: what is offered before this call is preferred to the usual formats where
    /// nothing else decides.
    #[must_use]
    pub fn usual(self) -> Self {
        let usual = Self::empty();
        #[cfg(feature = "json")]
        let usual = usual.offer("application/problem+json", Problem::new()).offer("application/json", Json::new());
        // The first offer answers clients without `Accept`. Browsers send one: the page must not be that offer.
        #[cfg(not(feature = "json"))]
        let usual = usual.offer("text/plain", PlainText);
        #[cfg(feature = "html")]
        let usual = usual.html(Html::new());
        let usual = usual.offer("text/plain", PlainText);
        let add = |this: Self, offer: Offer| if this.place_of(&offer).is_some() { this } else { this.add(offer) };
        usual.offers.into_iter().fold(self, add)
    }

    /// Offers a page to browsers: as `text/html` and as `application/xhtml+xml`, which browsers name beside it.
    ///
    /// It needs no feature: the page is yours. The own page of this crate is `Html` (feature `html`), which
    /// [`usual`](Self::usual) offers.
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

    /// Adds an offer whose format may stand behind other offers as well; a text that is no media type changes nothing.
    fn offer_shared(self, text: &'static str, format: Arc<dyn Format>) -> Self {
        match Range::read(text.as_bytes()).filter(|range| !range.is_wild()) {
            Some(media_type) => self.add(Offer { text, media_type, format }),
            None => self,
        }
    }

    /// The index of the offer with the same media type; case, quotes and the order of parameters do not matter.
    fn place_of(&self, offer: &Offer) -> Option<usize> {
        self.offers.iter().position(|known| known.media_type.is(&offer.media_type))
    }

    /// Adds an offer, or replaces the one of the same media type in its place.
    fn add(mut self, offer: Offer) -> Self {
        match self.place_of(&offer).and_then(|place| self.offers.get_mut(place)) {
            Some(known) => *known = offer,
            None => self.offers.push(offer),
        }
        // A choice that was cached before this offer existed would hide it.
        self.cache = ChoiceCache::default();
        self
    }

    /// The offer for a request with this `Accept`; `None` if there are no offers at all.
    fn choose(&self, accept: Option<&HeaderValue>) -> Option<&Offer> {
        let accept = accept.map_or(&b""[..], HeaderValue::as_bytes);
        let accept = if accept.len() > MOST_BYTES { b"" } else { accept };
        let place = self.cache.get_or(accept, || self.weigh(accept));
        self.offers.get(place)
    }

    /// The index of the offer to send.
    ///
    /// Every offer gets the weight of the most specific range that names it. The greatest weight wins, then the more specific
    /// range, then the earlier offer. If no offer has a weight above 0, the first one that no range names is sent, because the
    /// client has not ruled it out; if there is none, the first of all.
    fn weigh(&self, accept: &[u8]) -> usize {
        let mut best: Option<((u64, Fit), usize)> = None;
        let mut unnamed = None;
        // Fits in an array need no allocation, which a `Vec` would; where there are more offers, the field is read again.
        for (pass, offers) in self.offers.chunks(OFFERS_PER_PASS).enumerate() {
            let mut fits = [0; OFFERS_PER_PASS];
            for range in ranges(accept) {
                for (offer, fit) in offers.iter().zip(&mut fits) {
                    // The weight is the least part of a fit: a wildcard of a greater weight must not overrule an exact range.
                    *fit = range.fit(&offer.media_type).max(*fit);
                }
            }
            for (place, fit) in (pass * OFFERS_PER_PASS..).zip(fits).take(offers.len()) {
                let preference = (Range::weight_of(fit), fit);
                if fit == 0 {
                    unnamed = unnamed.or(Some(place));
                } else if best.is_none_or(|(so_far, _)| preference > so_far) {
                    best = Some((preference, place));
                }
            }
        }
        let acceptable = best.filter(|((weight, _), _)| *weight > 0).map(|(_, place)| place);
        acceptable.or(unnamed).unwrap_or(0)
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

    /// The fields that any of the offers reads.
    fn reads(&self) -> Vec<HeaderName> {
        self.offers.iter().flat_map(|offer| offer.format.reads()).collect()
    }
}

/// Whether a client names HTML in `Accept`, as browsers do. A wildcard does not: programs send one.
pub(crate) fn names_html(accept: Option<&HeaderValue>) -> bool {
    let accept = accept.map(HeaderValue::as_bytes).filter(|accept| accept.len() <= MOST_BYTES).unwrap_or_default();
    let mut pages = [&b"text/html"[..], b"application/xhtml+xml"].into_iter().filter_map(Range::read);
    pages.any(|page| ranges(accept).any(|range| range.names(&page)))
}

impl fmt::Debug for Negotiate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.offers.iter().map(|offer| offer.text)).finish()
    }
}

/// The last choices, by the bytes of the field: while an upstream is down, the same kinds of clients ask again and again.
///
/// A task never waits for the lock. If another task holds it, the choice is made anew and not cached.
#[derive(Default)]
struct ChoiceCache(Mutex<Choices>);

/// A ring of choices: a new one overwrites the oldest.
#[derive(Default)]
struct Choices {
    /// The bytes of a field, and the index of the offer that was chosen for it.
    by_accept: [(Vec<u8>, usize); MOST_CHOICES],
    /// How many entries of the ring are in use, counted from its start.
    known: usize,
    /// The entry that is overwritten next.
    oldest: usize,
}

impl ChoiceCache {
    /// The cached index for this field, or the one that `choose` finds, which is cached then.
    fn get_or(&self, accept: &[u8], choose: impl FnOnce() -> usize) -> usize {
        if accept.len() > LONGEST_CACHED {
            return choose();
        }
        // Weighed without the lock, which another task would find taken meanwhile.
        let cached = self.0.try_lock().ok().and_then(|choices| choices.find(accept));
        cached.unwrap_or_else(|| {
            let place = choose();
            if let Ok(mut choices) = self.0.try_lock() {
                choices.add(accept, place);
            }
            place
        })
    }
}

impl Choices {
    /// The cached index for exactly these bytes.
    fn find(&self, accept: &[u8]) -> Option<usize> {
        let mut known = self.by_accept.iter().take(self.known);
        known.find(|(known, _)| known == accept).map(|(_, place)| *place)
    }

    /// Caches an index in the place of the oldest one.
    fn add(&mut self, accept: &[u8], place: usize) {
        if let Some((known, of_known)) = self.by_accept.get_mut(self.oldest) {
            known.clear();
            // Reserved once for the longest field, so that no later entry in this place allocates.
            known.reserve_exact(LONGEST_CACHED);
            known.extend_from_slice(accept);
            *of_known = place;
        }
        self.known = MOST_CHOICES.min(self.known + 1);
        self.oldest = (self.oldest + 1) % MOST_CHOICES;
    }
}

/// A clone starts with an empty cache, because its offers may be changed.
impl Clone for ChoiceCache {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// How many choices are cached: the document, styles, scripts, images and fetches of a browser ask for different things, and beside them
/// there are an API client and a health check.
const MOST_CHOICES: usize = 8;

/// The longest field that is cached, in bytes; those of browsers are shorter.
const LONGEST_CACHED: usize = 256;

/// How many offers are weighed while the field is read once; the usual ones are fewer.
const OFFERS_PER_PASS: usize = 8;

/// The longest field that is read, in bytes. No client needs as much, and a longer one would only cost time.
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
    fn what_is_cached_is_what_would_be_chosen() {
        let long = format!("{}, text/csv", "a/b, ".repeat(60));
        let asked = [TEXT, CSV, "*/*", "text/*;q=0, text/csv", "text/plain;q=0", "a/b", "a/c", "a/d", "a/e", &long];
        let expected = [TEXT, CSV, TEXT, CSV, CSV, TEXT, TEXT, TEXT, TEXT, CSV];
        let offers = offers();
        // Every ordered pair is asked, so that each field is looked up as the newest entry, as the oldest, and after it was overwritten.
        let pairs = (0..asked.len()).flat_map(|one| (0..asked.len()).flat_map(move |other| [one, other, one]));
        let wrong: Vec<_> = pairs.filter(|&at| chosen(&offers, asked[at]) != expected[at]).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        let mut choices = offers.cache.0.lock().unwrap();
        assert_eq!((choices.known, choices.find(long.as_bytes())), (MOST_CHOICES, None), "a long field is not kept");
        // This entry is wrong on purpose: the choice is made anew while the lock is held, and comes from the cache afterwards.
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
