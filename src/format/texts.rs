//! What clients are told in other languages than English.
//!
//! English is built in: the sentences of the page stand in `english`, titles and summaries of the kinds in their table. A text in another language is
//! found by the English one. `policy` chooses the language after a failure, and formats ask for texts through
//! [`PublicFailure`](super::PublicFailure).

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fmt,
    sync::Arc,
};

use http::{HeaderValue, StatusCode};

use super::{accept::language_weights, english};
use crate::failure::FailureKind;

/// The texts of the formats of this crate in one language, each found by the English one.
///
/// ```
/// use tower_bad_gateway::{BadGatewayLayer, format::Texts};
///
/// # fn main() -> Result<(), tower_bad_gateway::format::InvalidLanguageTag> {
/// let german = Texts::new("de")?
///     .text("Connection refused", "Verbindung abgelehnt")
///     .text("the upstream refused the connection", "der Server hat die Verbindung abgelehnt")
///     .text("The server cannot be reached", "Der Server ist nicht erreichbar");
/// // What is not translated is shown in English, and what is translated is a text that there is.
/// assert!(german.missing().contains(&"Will it pass?"));
/// assert!(german.unknown().is_empty());
/// let layer = BadGatewayLayer::new().texts(german);
/// # Ok(())
/// # }
/// ```
///
/// They are for every format, JSON too. The page is in another language as a whole if all of its texts are there; of a few it shows heading and
/// sentence. `{}` in a text stands for what is filled in, and has to be in the translation as well. The reason phrase of a status, such as `Bad Gateway`, is a
/// text too. Messages of gRPC stay English: they are for programs and those who write them.
#[derive(Clone, Debug)]
pub struct Texts {
    language: Cow<'static, str>,
    table: BTreeMap<Cow<'static, str>, Cow<'static, str>>,
}

impl Texts {
    /// No texts yet, in the language of this tag ([RFC 5646](https://www.rfc-editor.org/rfc/rfc5646)), such as `de` or `pt-BR`. Those of `en` are
    /// your own English, for all who ask for nothing else.
    ///
    /// # Errors
    ///
    /// If it has not the form of such a tag, as `de_DE` has not: no client would ever ask for it.
    pub fn new(language: impl Into<Cow<'static, str>>) -> Result<Self, InvalidLanguageTag> {
        let language = language.into();
        if is_language_tag(&language) {
            Ok(Self { language, table: BTreeMap::new() })
        } else {
            Err(InvalidLanguageTag(()))
        }
    }

    /// Adds a text. Of two for the same English one the last counts.
    #[must_use]
    pub fn text(mut self, english: impl Into<Cow<'static, str>>, translated: impl Into<Cow<'static, str>>) -> Self {
        self.table.insert(english.into(), translated.into());
        self
    }

    /// Adds title and sentence of a kind. Every format shows the sentence; the title is what [`PublicFailure::title`](super::PublicFailure::title) gives to
    /// formats of yours and to templates. The headings of the page are [texts](Self::text) of their own, such as `The server cannot be reached`.
    ///
    /// ```
    /// use tower_bad_gateway::{FailureKind, format::Texts};
    ///
    /// # fn main() -> Result<(), tower_bad_gateway::format::InvalidLanguageTag> {
    /// let german = Texts::new("de")?.kind(
    ///     FailureKind::ConnectionRefused,
    ///     "Verbindung abgelehnt",
    ///     "der Server hat die Verbindung abgelehnt",
    /// );
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn kind(
        self,
        kind: FailureKind,
        title: impl Into<Cow<'static, str>>,
        summary: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.text(kind.title(), title).text(kind.summary(), summary)
    }

    /// Every English text, in the order in which translators should see them: titles, summaries, reason phrases, the page.
    pub fn english() -> impl Iterator<Item = &'static str> {
        let titles = FailureKind::ALL.iter().map(|kind| kind.title());
        let summaries = FailureKind::ALL.iter().map(|kind| kind.summary());
        // Any of them may come from an upstream, or from `map_status`.
        let phrases = (400..600).filter_map(|code| StatusCode::from_u16(code).ok()?.canonical_reason());
        let mut seen = BTreeSet::new();
        titles
            .chain(summaries)
            .chain(phrases)
            .chain(english::PAGE.iter().copied())
            .filter(move |text| seen.insert(*text))
    }

    /// The English texts that have no translation here: a test of yours may say that there are none.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        Self::english().filter(|text| !self.table.contains_key(*text)).collect()
    }

    /// The texts here that are a translation of nothing: mistyped, or of another version of this crate.
    #[must_use]
    pub fn unknown(&self) -> Vec<&str> {
        let known: BTreeSet<_> = Self::english().collect();
        self.table.keys().map(|text| &**text).filter(|text| !known.contains(text)).collect()
    }

    /// The language of these texts, for `Content-Language`. `None` if it is no tag that may stand there.
    pub(crate) fn language(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.language).ok()
    }

    /// The tag of the language.
    pub(crate) fn tag(&self) -> &str {
        &self.language
    }

    /// The text in this language, or the English one.
    pub(crate) fn say(&self, english: &'static str) -> &str {
        self.table.get(english).map_or(english, |text| text)
    }

    /// Whether the page can be written in this language as a whole.
    #[cfg(feature = "html")]
    pub(crate) fn has_page(&self) -> bool {
        english::PAGE.iter().all(|text| self.has(text))
    }

    /// Whether there is a translation.
    pub(crate) fn has(&self, english: &str) -> bool {
        self.table.contains_key(english)
    }
}

/// The form of a language tag: letters, then letters and digits, in parts of at most eight
/// ([RFC 5646, section 2.1](https://www.rfc-editor.org/rfc/rfc5646#section-2.1)). Whether it is registered is not asked.
fn is_language_tag(tag: &str) -> bool {
    let is_part = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let language = tag.split('-').next().unwrap_or_default();
    tag.split('-').all(is_part) && language.len() > 1 && language.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// A tag of [`Texts`] has not the form of a language tag.
///
/// ```
/// use tower_bad_gateway::format::Texts;
///
/// assert!(Texts::new("pt-BR").is_ok());
/// assert_eq!(Texts::new("pt_BR").unwrap_err().to_string(), "not the form of a language tag, such as \"de\" or \"pt-BR\"");
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InvalidLanguageTag(());

impl fmt::Display for InvalidLanguageTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not the form of a language tag, such as \"de\" or \"pt-BR\"")
    }
}

impl Error for InvalidLanguageTag {}

/// The texts of a layer, a language at most once.
#[derive(Clone, Default)]
pub(crate) struct Languages(Vec<Arc<Texts>>);

impl Languages {
    /// Adds a language, in the place of the same one.
    pub(crate) fn add(&mut self, texts: Texts) {
        self.0.retain(|known| !known.language.eq_ignore_ascii_case(&texts.language));
        self.0.push(Arc::new(texts));
    }

    /// Whether there is only English, and nothing to choose.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The texts for a request with these fields; `None` for English.
    ///
    /// The language with the greatest weight in `Accept-Language` counts, of several the one that is named first. A range fits the language of its own
    /// name, the more general one (`de-CH` is content with `de`) and, if there is none of these, a narrower one (`pt` with `pt-BR`), as by
    /// the look-up and the filter of [RFC 4647, section 3](https://www.rfc-editor.org/rfc/rfc4647#section-3). Where nothing fits it is English.
    pub(crate) fn choose<'a>(&self, lines: impl Iterator<Item = &'a HeaderValue>) -> Option<&Texts> {
        if self.is_empty() {
            return None;
        }
        let mut best: Option<(u16, Option<&Texts>)> = None;
        for (range, weight) in lines.flat_map(|line| language_weights(line.as_bytes())) {
            if weight == 0 || best.is_some_and(|(greatest, _)| greatest >= weight) {
                continue;
            }
            if let Some(found) = self.find(range) {
                best = Some((weight, found));
            }
        }
        // Nothing that fits is English; texts under that name are a user's own English.
        best.and_then(|(_, texts)| texts)
            .or_else(|| self.0.iter().find(|texts| texts.language.eq_ignore_ascii_case("en")).map(|texts| &**texts))
    }

    /// The language of a range: the outer `None` if there is none, the inner one for English.
    fn find(&self, range: &[u8]) -> Option<Option<&Texts>> {
        if range == b"*" {
            return Some(None);
        }
        let by = |fits: fn(&[u8], &[u8]) -> bool| {
            let others = self.0.iter().find(|texts| fits(range, texts.language.as_bytes())).map(|texts| Some(&**texts));
            others.or_else(|| fits(range, b"en").then_some(None))
        };
        by(|range, tag| range.eq_ignore_ascii_case(tag))
            .or_else(|| by(begins))
            .or_else(|| by(|range, tag| begins(tag, range)))
    }
}

/// Whether a tag begins with all subtags of another.
fn begins(longer: &[u8], shorter: &[u8]) -> bool {
    longer.split_at_checked(shorter.len()).is_some_and(|(start, rest)| {
        !shorter.is_empty() && start.eq_ignore_ascii_case(shorter) && rest.first().is_none_or(|&byte| byte == b'-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_language_is_chosen() {
        let mut languages = Languages::default();
        for tag in ["de", "pt-BR", "zh-Hant"] {
            languages.add(Texts::new(tag).unwrap());
        }
        let wrong: Vec<_> = [
            (&["de"][..], "de"),
            (&["DE-ch, en"], "de"),
            (&["fr, de;q=0.5, en;q=0.4"], "de"),
            (&["fr, en;q=0.5, de;q=0.4"], "en"),
            (&["en, de"], "en"),
            (&["en-GB, de"], "en"),
            (&["pt"], "pt-BR"),
            (&["pt-PT, de;q=0.1"], "de"),
            (&["zh-Hant-TW"], "zh-Hant"),
            (&["zh-Hans"], "en"),
            (&["dex"], "en"),
            (&["*"], "en"),
            (&["fr, *;q=0.1"], "en"),
            (&["de;q=0"], "en"),
            (&["de;q=0, pt;q=0.1"], "pt-BR"),
            (&["de;q=2"], "en"),
            (&["fr", "de;q=0.7"], "de"),
            (&[""], "en"),
            (&[",;,"], "en"),
            (&[], "en"),
        ]
        .into_iter()
        .map(|(lines, expected)| {
            let values: Vec<_> = lines.iter().map(|line| HeaderValue::from_static(line)).collect();
            (lines, languages.choose(values.iter()).map_or("en", Texts::tag), expected)
        })
        .filter(|(_, got, expected)| got != expected)
        .collect();
        assert!(wrong.is_empty(), "(accept-language, got, expected): {wrong:?}");
    }
}
