//! A page for people.
//!
//! `negotiate` offers it to browsers, and it is written only after a failure. Each of its four submodules knows one thing:
//!
//! | module | what it knows |
//! | --- | --- |
//! | `advice` | which words fit which failure |
//! | `palette` | the colours, and their contrast |
//! | `style` | the style sheet, and the policy that allows it |
//! | `text` | how texts of others become safe, and times readable |
//!
//! The style is made when the format is made and when a colour changes; a failure only formats the page, in this order: status
//! and heading, sentence, hops, outlook, steps to take, gateway. This module alone writes markup: a text of a user or of a
//! client must go through [`Text`], or it could become a script. The module must not know errors and upstreams: what it says
//! follows from the kind, the blame and the retry safety.

mod advice;
mod palette;
mod style;
mod text;

use std::{
    borrow::Cow,
    fmt::{self, Write},
};

use http::{HeaderValue, header::CONTENT_SECURITY_POLICY};

pub use self::palette::Palette;
use self::{
    advice::Advice,
    style::Style,
    text::{Delay, Filled, Text, is_link, sentence},
};
use super::{
    ENGLISH, Format, PublicFailure, Representation, Texts,
    english::{self, COME_BACK_IN, REFERENCE, REPORTED_BY, WHAT_TO_DO, WILL_IT_PASS},
};
use crate::failure::Blame;

/// `text/html`: one page that says what happened, which hop failed, whether that will pass, and what to do now.
///
/// The page is complete in itself: no script, no font, no image, nothing to fetch. Its `Content-Security-Policy` allows its one
/// style and an empty icon, and nothing else. It is light or dark as the reader prefers, readable at 320 pixels and by a screen
/// reader, and tells search engines not to keep it. It may not be shown in a frame. The language is English, or one whose
/// [texts](crate::BadGatewayLayer::texts) the layer has; of words of yours
/// (title, label of the link, [message](crate::BadGatewayLayer::message)) the page says that their language is unknown. It shows
/// the [name](crate::BadGatewayLayer::gateway_name) of the gateway, if there is one, and the
/// [identifier](crate::context::RequestId) of the request.
///
/// After a method that is not [safe](super::PublicFailure::is_safe), the page says whether what was sent may have been processed,
/// and does not advise to load the page again, which would send it again.
///
/// In words, after a GET to an upstream that refused the connection:
///
/// ```text
/// 502 Bad Gateway
/// The server cannot be reached
/// The upstream refused the connection.
///
/// Where it failed
/// You: Working    Gateway: Working    Upstream server: Problem here
///
/// Will it pass?
/// This is probably temporary.
///
/// What to do now
/// - Wait a moment, then load this page again.
/// - When you ask for help, quote the reference 7f3a-12.
/// ```
///
/// A `Content-Security-Policy` that is set for [every answer](crate::BadGatewayLayer::header) is not added to the page, as it
/// would forbid the style.
///
/// ```
/// use tower_bad_gateway::{BadGatewayLayer, format::{Html, Negotiate, Palette}};
///
/// let page = Html::new()
///     .title("The shop is closed for a moment")
///     .support("mailto:help@shop.example", "Write to the shop")
///     .light(Palette::LIGHT.link([0x8a, 0x1c, 0x7c]));
/// let layer = BadGatewayLayer::new().format(Negotiate::new().html(page));
/// ```
///
/// Not for a page with your own layout: see [`Static`](super::Static), or write a closure.
#[derive(Clone, Debug)]
pub struct Html {
    /// The heading of the user; `None` stands for the one that fits the kind.
    title: Option<Cow<'static, str>>,
    /// Target and label of the link to help. The target is checked when a page is written.
    support: Option<(Cow<'static, str>, Cow<'static, str>)>,
    /// The colours on a light ground, kept to make the style again when the dark ones change.
    light: Palette,
    /// The colours on a dark ground, kept to make the style again when the light ones change.
    dark: Palette,
    /// The style sheet of both palettes and its policy, so that no failure has to compute a hash.
    style: Style,
}

impl Html {
    /// The page with headings that fit the failure, without a link to help, in the colours of [`Palette::LIGHT`] and
    /// [`Palette::DARK`].
    #[must_use]
    pub fn new() -> Self {
        let (light, dark) = (Palette::LIGHT, Palette::DARK);
        Self { title: None, support: None, light, dark, style: Style::of(&light, &dark) }
    }

    /// Sets the heading, the same after every failure; the title of the document ends in it. By default it depends on the kind.
    ///
    /// It is escaped, and control characters become spaces. The sentence below the heading is not touched: see
    /// [`message`](crate::BadGatewayLayer::message).
    ///
    /// ```
    /// use tower_bad_gateway::{BadGatewayLayer, format::Html};
    ///
    /// let layer = BadGatewayLayer::new().format(Html::new().title("Back at eight")); // <h1 lang="">Back at eight</h1>
    /// ```
    #[must_use]
    pub fn title(mut self, title: impl Into<Cow<'static, str>>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Adds a link to where help can be had, at the end of the list of what to do. A second call replaces the first; by default
    /// there is none.
    ///
    /// A target that is not `https:`, `http:`, `mailto:`, `tel:` or a path from the root, such as `/help`, is left out and the
    /// label shown as text; so is `//host`. Both are escaped.
    ///
    /// ```
    /// use tower_bad_gateway::{BadGatewayLayer, format::Html};
    ///
    /// let layer = BadGatewayLayer::new().format(Html::new().support("/help", "Get help"));
    /// ```
    #[must_use]
    pub fn support(mut self, target: impl Into<Cow<'static, str>>, label: impl Into<Cow<'static, str>>) -> Self {
        self.support = Some((target.into(), label.into()));
        self
    }

    /// Sets the colours on a light ground; [`Palette::LIGHT`] by default.
    ///
    /// Browsers use them unless the reader prefers a dark ground. The style is made anew, and with it the hash in the policy. See
    /// [`Palette`] for an example and for the contrast that is needed.
    #[must_use]
    pub fn light(mut self, palette: Palette) -> Self {
        self.light = palette;
        self.style = Style::of(&self.light, &self.dark);
        self
    }

    /// Sets the colours for readers who prefer a dark ground; [`Palette::DARK`] by default.
    ///
    /// They take the place of the light ones by the media query
    /// [`prefers-color-scheme`](https://www.w3.org/TR/mediaqueries-5/#prefers-color-scheme). For a page that is always light, set
    /// the same palette here as in [`light`](Self::light):
    ///
    /// ```
    /// use tower_bad_gateway::format::{Html, Palette};
    ///
    /// let page = Html::new().dark(Palette::LIGHT);
    /// ```
    #[must_use]
    pub fn dark(mut self, palette: Palette) -> Self {
        self.dark = palette;
        self.style = Style::of(&self.light, &self.dark);
        self
    }

    /// The whole page, up to `</html>`, in the language of `page_texts`; without them in English.
    ///
    /// If the texts of the failure are not all that the page needs, it shows heading and sentence alone of them, and says which language they are in.
    fn page(&self, failure: &PublicFailure<'_>, page_texts: Option<&Texts>) -> Result<String, fmt::Error> {
        let advice = Advice::on(failure);
        let say = |english| Text(page_texts.map_or(english, |texts| texts.say(english)));
        let language = page_texts.map_or("en", Texts::tag);
        // What stands on the page in another language than that of the page says in which.
        let lang_of = |english: &str| match failure.texts {
            Some(texts) if page_texts.is_none() && texts.has(english) => format!(" lang=\"{}\"", Text(texts.tag())),
            Some(texts) if page_texts.is_some() && !texts.has(english) => " lang=\"en\"".to_owned(),
            _ => String::new(),
        };
        // The title of a user may be in any language: an inherited language would make a screen reader mispronounce it.
        let (heading, lang) = match &self.title {
            Some(title) => (Text(title), " lang=\"\"".to_owned()),
            None => (Text(failure.say(advice.heading)), lang_of(advice.heading)),
        };
        let phrase = failure.status().canonical_reason().unwrap_or(failure.kind().title());
        let (phrase, phrase_lang) = (say(phrase), if page_texts.is_some() { lang_of(phrase) } else { String::new() });
        let status = failure.status().as_u16();
        let language = Text(language);
        let mut page = String::with_capacity(6 * 1024);
        write!(
            page,
            "<!doctype html>\n<html lang=\"{language}\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"robots\" content=\"noindex\">\n\
             <link rel=\"icon\" href=\"data:,\">\n<title>{status} {phrase}: {heading}</title>\n\
             <style>{}</style>\n</head>\n<body>\n<main>\n<p class=\"quiet\"{phrase_lang}>{status} {phrase}</p>\n\
             <h1{lang}>{heading}</h1>\n",
            self.style.text
        )?;
        match failure.message {
            Some(_) => writeln!(page, "<p lang=\"\">{}</p>", Text(failure.summary()))?,
            None => {
                let lang = lang_of(failure.kind().summary());
                writeln!(page, "<p{lang}>{}</p>", Text(&sentence(failure.summary())))?;
            }
        }
        if !advice.is_refusal {
            write_hops(&mut page, failure.failure().blame(), say)?;
        }
        let (pass, outlook, to_do) = (say(WILL_IT_PASS), say(advice.outlook), say(WHAT_TO_DO));
        writeln!(page, "<h2>{pass}</h2>\n<p>{outlook}</p>\n<h2>{to_do}</h2>\n<ul>")?;
        match failure.retry_after() {
            Some(delay) => writeln!(page, "<li>{}</li>", Filled(say(COME_BACK_IN), Delay(delay, &say)))?,
            None => writeln!(page, "<li>{}</li>", say(advice.next))?,
        }
        if let Some(sent) = advice.sent {
            writeln!(page, "<li>{}</li>", say(sent))?;
        }
        if let Some(id) = failure.request_id() {
            let id = Text(id.as_str());
            writeln!(page, "<li>{}</li>", Filled(say(REFERENCE), format_args!("<code>{id}</code>")))?;
        }
        match &self.support {
            Some((target, label)) if is_link(target) => {
                writeln!(page, "<li lang=\"\"><a href=\"{}\">{}</a></li>", Text(target), Text(label))?;
            }
            Some((_, label)) => writeln!(page, "<li lang=\"\">{}</li>", Text(label))?,
            None => {}
        }
        page.push_str("</ul>\n");
        if let Some(gateway) = failure.gateway() {
            writeln!(page, "<p class=\"quiet\">{}</p>", Filled(say(REPORTED_BY), Text(gateway.as_str())))?;
        }
        page.push_str("</main>\n</body>\n</html>\n");
        Ok(page)
    }
}

impl Default for Html {
    /// The same as [`new`](Self::new).
    fn default() -> Self {
        Self::new()
    }
}

impl Format for Html {
    fn write(&self, failure: &PublicFailure<'_>) -> Representation {
        let page_texts = failure.texts.filter(|texts| texts.has_page());
        // `write!` to a `String` never fails, so no answer has the empty page of the default.
        let page = self.page(failure, page_texts).unwrap_or_default();
        let language = page_texts.and_then(Texts::language).unwrap_or(ENGLISH);
        Representation::new(MEDIA_TYPE, page)
            .language(language)
            .field(CONTENT_SECURITY_POLICY, self.style.policy.clone())
    }
}

/// Writes the hops from the reader to the upstream, and which of them failed: in words, so that no colour is needed to see it.
///
/// Where the client or the gateway is to blame, the upstream is "Not known": it may not have been reached at all.
fn write_hops<'a>(page: &mut String, blame: Blame, say: impl Fn(&'static str) -> Text<'a>) -> fmt::Result {
    let states = match blame {
        Blame::Client => [FAILED, FINE, UNKNOWN],
        Blame::Gateway => [FINE, FAILED, UNKNOWN],
        Blame::Upstream => [FINE, FINE, FAILED],
        Blame::Unknown => [FINE, UNKNOWN, UNKNOWN],
    };
    writeln!(page, "<h2>{}</h2>\n<ol class=\"way\" role=\"list\">", say(english::WHERE))?;
    let hops = [english::YOU, english::GATEWAY, english::UPSTREAM].into_iter().zip(states);
    for (place, (hop, (class, mark, state))) in hops.enumerate() {
        let (hop, state) = (say(hop), say(state));
        let line = if place > 0 { "<span class=\"line\"></span>" } else { "" };
        write!(page, "<li class=\"{class}\">{line}<span class=\"mark\" aria-hidden=\"true\">{mark}</span>")?;
        writeln!(page, "<span class=\"hop\">{hop}</span> <span class=\"state\">{state}</span></li>")?;
    }
    page.push_str("</ol>\n");
    Ok(())
}

/// Class in the style sheet, sign for the eye, and words of a hop.
type HopState = (&'static str, &'static str, &'static str);
/// The hop has done its part.
const FINE: HopState = ("fine", "\u{2713}", english::FINE);
/// The hop is to blame.
const FAILED: HopState = ("failed", "\u{2715}", english::FAILED);
/// Nothing is known of the hop.
const UNKNOWN: HopState = ("unknown", "?", english::UNKNOWN);
/// The same charset as in the `meta` element of the page.
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        context::RequestId,
        failure::{Failure, FailureKind},
    };

    #[test]
    fn nothing_a_user_or_client_gives_becomes_markup() {
        const EVIL: &str = "</title><script>alert('1')</script>\"&\u{0}\u{85}\r\n";
        const SAFE: &str = "&lt;/title&gt;&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt;&quot;&amp;    ";
        let id = RequestId::try_from("<b>\"&'").unwrap();
        let html = Html::new().title(EVIL).support(format!("https://{EVIL}"), EVIL);
        let failure = Failure::new(FailureKind::ConnectionRefused);
        let failure = PublicFailure { message: Some(EVIL), request_id: Some(&id), ..PublicFailure::of(&failure) };
        let page = html.page(&failure, None).unwrap();
        assert!(!page.contains("<script") && !page.contains("<b>"), "{page}");
        assert_eq!(page.matches(SAFE).count(), 5, "{page}"); // title, h1, sentence, target, label
        assert!(page.contains("<code>&lt;b&gt;&quot;&amp;&#x27;</code>"), "{page}");
        let controls: Vec<_> = page.chars().filter(|character| character.is_control() && *character != '\n').collect();
        assert!(controls.is_empty(), "{controls:?}");
    }
}
