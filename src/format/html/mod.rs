//! A page for people.

mod advice;
mod palette;
mod style;

use std::{
    borrow::Cow,
    fmt::{self, Display, Write},
    time::Duration,
};

use html_escape::encode_quoted_attribute;
use http::{HeaderValue, header::CONTENT_SECURITY_POLICY};

pub use self::palette::Palette;
use self::{advice::Advice, style::Style};
use super::{Format, PublicFailure, Representation};
use crate::failure::Blame;

/// `text/html`: one page that says what happened, which hop failed, whether that will pass, and what to do now.
///
/// It is complete in itself: no script, no font, no image, nothing to fetch. Its `Content-Security-Policy` allows its one style
/// and nothing else. It is light or dark as the reader prefers, readable at 320 pixels and by a screen reader, and tells
/// search engines not to keep it. The language is English; of a [message](crate::BadGatewayLayer::message) of yours the page
/// says that its language is unknown.
///
/// ```
/// use tower_bad_gateway::{BadGatewayLayer, format::{Html, Negotiate, Palette}};
///
/// let page = Html::new()
///     .title("The shop is closed for a moment")
///     .support("mailto:help@shop.example", "Write to the shop")
///     .light(Palette::LIGHT.link([0x8a, 0x1c, 0x7c]));
/// let layer = BadGatewayLayer::new().format(Negotiate::default().html(page));
/// ```
///
/// Not for a page with your own layout: see [`Static`](super::Static), or write a closure.
#[derive(Clone, Debug)]
pub struct Html {
    title: Option<Cow<'static, str>>,
    support: Option<(Cow<'static, str>, Cow<'static, str>)>,
    light: Palette,
    dark: Palette,
    style: Style,
}

impl Html {
    /// The page as it is.
    #[must_use]
    pub fn new() -> Self {
        let (light, dark) = (Palette::LIGHT, Palette::DARK);
        Self { title: None, support: None, light, dark, style: Style::of(&light, &dark) }
    }

    /// Sets the heading, whatever has failed; the title of the document ends in it.
    #[must_use]
    pub fn title(mut self, title: impl Into<Cow<'static, str>>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Adds a link to where help can be had. A target that is not `https:`, `http:`, `mailto:`, `tel:` or a path from the
    /// root, such as `/help`, is left out and the label shown as text.
    #[must_use]
    pub fn support(mut self, target: impl Into<Cow<'static, str>>, label: impl Into<Cow<'static, str>>) -> Self {
        self.support = Some((target.into(), label.into()));
        self
    }

    /// Sets the colours on a light ground; [`Palette::LIGHT`] by default.
    #[must_use]
    pub fn light(mut self, palette: Palette) -> Self {
        self.light = palette;
        self.style = Style::of(&self.light, &self.dark);
        self
    }

    /// Sets the colours for those who prefer a dark ground; [`Palette::DARK`] by default.
    #[must_use]
    pub fn dark(mut self, palette: Palette) -> Self {
        self.dark = palette;
        self.style = Style::of(&self.light, &self.dark);
        self
    }

    fn page(&self, failure: &PublicFailure<'_>) -> Result<String, fmt::Error> {
        let advice = Advice::on(failure);
        let heading = Text(self.title.as_deref().unwrap_or(advice.heading));
        let (status, phrase) = (failure.status().as_u16(), Text(failure.reason_phrase()));
        let mut page = String::with_capacity(6 * 1024);
        write!(
            page,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"robots\" content=\"noindex\">\n\
             <link rel=\"icon\" href=\"data:,\">\n<title>{status} {phrase}: {heading}</title>\n\
             <style>{}</style>\n</head>\n<body>\n<main>\n<p class=\"quiet\">{status} {phrase}</p>\n<h1>{heading}</h1>\n",
            self.style.text
        )?;
        match failure.message {
            Some(_) => writeln!(page, "<p lang=\"\">{}</p>", Text(failure.summary()))?,
            None => writeln!(page, "<p>{}</p>", Text(&sentence(failure.summary())))?,
        }
        way(&mut page, failure.failure().blame())?;
        writeln!(page, "<h2>Will it pass?</h2>\n<p>{}</p>\n<h2>What to do now</h2>\n<ul>", Text(advice.outlook))?;
        match failure.retry_after() {
            Some(delay) => writeln!(page, "<li>Load this page again in {}.</li>", Delay(delay))?,
            None => writeln!(page, "<li>{}</li>", Text(advice.next))?,
        }
        writeln!(page, "<li>{}</li>", Text(advice.sent))?;
        if let Some(id) = failure.request_id() {
            let id = Text(id.as_str());
            writeln!(page, "<li>When you ask for help, quote the reference <code>{id}</code>.</li>")?;
        }
        match &self.support {
            Some((target, label)) if is_link(target) => {
                writeln!(page, "<li><a href=\"{}\">{}</a></li>", Text(target), Text(label))?;
            }
            Some((_, label)) => writeln!(page, "<li>{}</li>", Text(label))?,
            None => {}
        }
        page.push_str("</ul>\n");
        if let Some(gateway) = failure.gateway() {
            writeln!(page, "<p class=\"quiet\">Reported by {}.</p>", Text(gateway.as_str()))?;
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
        // Writing to a `String` cannot fail.
        let page = self.page(failure).unwrap_or_default();
        Representation::new(MEDIA_TYPE, page)
            .language(ENGLISH)
            .field(CONTENT_SECURITY_POLICY, self.style.policy.clone())
    }
}

/// The hops between the reader and the upstream, and which of them failed: in words, so that no colour is needed to see it.
fn way(page: &mut String, blame: Blame) -> fmt::Result {
    let hops = match blame {
        Blame::Client => [("You", FAILED), ("Gateway", FINE), ("Server", UNKNOWN)],
        Blame::Gateway => [("You", FINE), ("Gateway", FAILED), ("Server", UNKNOWN)],
        Blame::Upstream => [("You", FINE), ("Gateway", FINE), ("Server", FAILED)],
    };
    page.push_str("<h2>Where it failed</h2>\n<ol class=\"way\" role=\"list\">\n");
    for (place, (hop, (class, mark, state))) in hops.into_iter().enumerate() {
        let line = if place > 0 { "<span class=\"line\"></span>" } else { "" };
        write!(page, "<li class=\"{class}\">{line}<span class=\"mark\" aria-hidden=\"true\">{mark}</span>")?;
        writeln!(page, "<span class=\"hop\">{hop}</span> <span class=\"state\">{state}</span></li>")?;
    }
    page.push_str("</ol>\n");
    Ok(())
}

/// The summary of a kind as a sentence of its own.
fn sentence(summary: &str) -> String {
    let mut characters = summary.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).chain(['.']).collect()
}

fn is_link(target: &str) -> bool {
    let lower = target.get(..target.len().min(8)).unwrap_or(target).to_ascii_lowercase();
    ["https:", "http:", "mailto:", "tel:", "/"].iter().any(|start| lower.starts_with(start))
}

/// Somebody's text, for content and for attributes in quotes: escaped, in one line, and without control characters.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, part) in self.0.split(char::is_control).enumerate() {
            if number > 0 {
                f.write_char(' ')?;
            }
            f.write_str(&encode_quoted_attribute(part))?;
        }
        Ok(())
    }
}

/// A time as people say it.
struct Delay(Duration);

impl Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            1 => f.write_str("1 second"),
            seconds @ 0..120 => write!(f, "{seconds} seconds"),
            seconds @ 120..7200 => write!(f, "{} minutes", seconds.div_ceil(60)),
            seconds => write!(f, "{} hours", seconds.div_ceil(3600)),
        }
    }
}

/// Class, mark and words of a hop.
type State = (&'static str, &'static str, &'static str);
const FINE: State = ("fine", "\u{2713}", "Working");
const FAILED: State = ("failed", "\u{2715}", "Problem here");
const UNKNOWN: State = ("unknown", "?", "Not known");
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const ENGLISH: HeaderValue = HeaderValue::from_static("en");

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
        let page = html.page(&failure).unwrap();
        assert!(!page.contains("<script") && !page.contains("<b>"), "{page}");
        assert_eq!(page.matches(SAFE).count(), 5, "{page}"); // title, h1, sentence, target, label
        assert!(page.contains("<code>&lt;b&gt;&quot;&amp;&#x27;</code>"), "{page}");
        let controls: Vec<_> = page.chars().filter(|character| character.is_control() && *character != '\n').collect();
        assert!(controls.is_empty(), "{controls:?}");
    }

    #[test]
    fn a_link_leads_where_links_may_lead() {
        let failure = Failure::new(FailureKind::ConnectionRefused);
        let page =
            |target: &'static str| Html::new().support(target, "Help").page(&PublicFailure::of(&failure)).unwrap();
        let wrong: Vec<_> = [
            ("https://help.example/a?b=c&d", true),
            ("HTTP://help.example", true),
            ("mailto:help@shop.example", true),
            ("tel:+49", true),
            ("/help", true),
            ("javascript:alert(1)", false),
            (" javascript:alert(1)", false),
            ("data:text/html,hello", false),
            ("\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}", false),
            ("", false),
        ]
        .into_iter()
        .map(|(target, expected)| (target, page(target).contains("<a href"), expected))
        .filter(|(_, got, expected)| got != expected)
        .collect();
        assert!(wrong.is_empty(), "(target, got, expected): {wrong:?}");
    }

    #[test]
    fn a_delay_is_said_as_people_say_it() {
        let said = |seconds| Delay(Duration::from_secs(seconds)).to_string();
        assert_eq!(
            [1, 2, 119, 120, 121, 7199, 7200, u64::MAX].map(said),
            [
                "1 second",
                "2 seconds",
                "119 seconds",
                "2 minutes",
                "3 minutes",
                "120 minutes",
                "2 hours",
                "5124095576030432 hours"
            ]
        );
    }
}
