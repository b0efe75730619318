//! A page or a document from a text with placeholders.
//!
//! The text is read and checked when the format is made, and written by [minijinja](https://docs.rs/minijinja), which escapes what is filled in. What
//! may be filled in is the list [`PLACEHOLDERS`], and nothing else: the private parts of a failure are not among it.

use std::{
    error::Error,
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use http::{HeaderName, HeaderValue, StatusCode, header::HOST};
use minijinja::{Environment, Value, context, syntax::SyntaxConfig};

use super::{Format, PlainText, PublicFailure, Representation, with_language};
use crate::{failure::FailureKind, representation::shortened};

/// A page or a document of your own, with placeholders: `{{ title }}`.
///
/// | placeholder | value |
/// | --- | --- |
/// | `status`, `reason` | the status of the answer, a number, and its reason phrase |
/// | `title`, `summary` | heading of the failure, and a sentence without capital and full stop, to go after a colon |
/// | `language` | the language of the title, such as `en` |
/// | `code` | the [token](crate::FailureKind::token), such as `connection_refused` |
/// | `blame` | `client`, `gateway`, `upstream` or `unknown` |
/// | `retry_after` | in seconds; not always there |
/// | `request_id`, `gateway` | the identifier of the request and the name of the gateway; not always there |
/// | `method`, `path`, `host`, `is_safe` | of the request; the path is without the query |
///
/// `host` and `path` are those of the request as the layer sees it. Where a target was rewritten *outside* of the layer they are the upstream's, and
/// not for clients: leave them out there.
///
/// A placeholder whose value is not there is empty, and `null` in JSON; `{% if request_id %}...{% endif %}` leaves out what belongs to it.
/// Everything that is filled in is escaped: in HTML for content and for attributes in quotes, and not for scripts, styles and links; in JSON each
/// value brings its own quotes, as in `{"code": {{ code }}}`. The language is that of [Jinja](https://docs.rs/minijinja/latest/minijinja/syntax/),
/// without other files and without functions, such as `range`.
///
/// A text that has an error, or a placeholder that is not in the list, is refused when the format is made:
///
/// ```
/// use tower_bad_gateway::{BadGatewayLayer, format::{Negotiate, Template}};
///
/// # fn main() -> Result<(), tower_bad_gateway::format::TemplateError> {
/// let page = Template::html("<!doctype html><title>{{ title }}</title>{% if request_id %}<p>{{ request_id }}{% endif %}")?;
/// let layer = BadGatewayLayer::new().format(Negotiate::new().html(page));
///
/// let error = Template::html("<p>{{ reqest_id }}").unwrap_err();
/// assert!(error.to_string().starts_with("unknown placeholder `reqest_id`; there are: "));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Template {
    environment: Arc<Environment<'static>>,
    kind: Kind,
    /// The language of the text, if it has one of its own.
    language: Option<HeaderValue>,
    fields: Vec<(HeaderName, HeaderValue)>,
    reads: Vec<HeaderName>,
}

/// What is written, which decides how it is escaped.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Html,
    Json,
    Text,
}

impl Kind {
    fn is_json(self) -> bool {
        matches!(self, Self::Json)
    }

    /// The name by which minijinja knows what to escape.
    fn name(self) -> &'static str {
        match self {
            Self::Html => "answer.html",
            Self::Json => "answer.json",
            Self::Text => "answer.txt",
        }
    }

    fn media_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Json => "application/json",
            Self::Text => "text/plain; charset=utf-8",
        })
    }
}

impl Template {
    /// A page.
    ///
    /// # Errors
    ///
    /// The text has an error, or an unknown placeholder.
    pub fn html(text: impl Into<String>) -> Result<Self, TemplateError> {
        Self::new(Kind::Html, text.into())
    }

    /// A document of JSON.
    ///
    /// # Errors
    ///
    /// The text has an error or an unknown placeholder, or what it writes is no JSON after any of the failures.
    pub fn json(text: impl Into<String>) -> Result<Self, TemplateError> {
        Self::new(Kind::Json, text.into())
    }

    /// Plain text, in which nothing is escaped.
    ///
    /// # Errors
    ///
    /// The text has an error, or an unknown placeholder.
    pub fn text(text: impl Into<String>) -> Result<Self, TemplateError> {
        Self::new(Kind::Text, text.into())
    }

    /// The text of a file, which is read now and never again: a page (`.html`, `.htm`), JSON (`.json`) or plain text (`.txt`). It blocks: call it at
    /// start-up.
    ///
    /// # Errors
    ///
    /// The file cannot be read, its name has another ending, or its text has an error. The error names the file.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, TemplateError> {
        let path = path.as_ref();
        let in_file = |error: TemplateError| TemplateError { file: Some(path.to_owned()), ..error };
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
        let kind = match &*ending {
            "html" | "htm" => Kind::Html,
            "json" => Kind::Json,
            "txt" => Kind::Text,
            _ => return Err(in_file(TemplateError::new("the name ends in none of .html, .htm, .json and .txt"))),
        };
        let text = fs::read_to_string(path)
            .map_err(|error| in_file(TemplateError::new("it cannot be read").caused_by(error)))?;
        Self::new(kind, text).map_err(in_file)
    }

    /// Sets `Content-Language`. Without it the answer has that of its title and summary.
    #[must_use]
    pub fn language(mut self, language: HeaderValue) -> Self {
        self.language = Some(language);
        self
    }

    /// Adds a field, such as a `Content-Security-Policy`, by the rules of [`Representation::field`].
    #[must_use]
    pub fn field(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.fields.push((name, value));
        self
    }

    fn new(kind: Kind, text: String) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build().map_err(TemplateError::of_text)?;
        environment.set_syntax(syntax);
        environment.add_template_owned(kind.name(), text.clone()).map_err(TemplateError::of_text)?;
        let template = environment.get_template(kind.name()).map_err(TemplateError::of_text)?;
        let used = template.undeclared_variables(false);
        if let Some(unknown) = used.iter().find(|name| !PLACEHOLDERS.contains(&name.as_str())) {
            let known = PLACEHOLDERS.join(", ");
            return Err(TemplateError::new(format!("unknown placeholder `{unknown}`; there are: {known}")));
        }
        // Written in the way of other languages it would be shown to visitors as it stands.
        if let Some(name) = PLACEHOLDERS.iter().find(|name| has_single_braces(&text, name)) {
            return Err(TemplateError::new(format!("`{{{name}}}` is no placeholder: write `{{{{ {name} }}}}`")));
        }
        let reads = if used.contains("host") { vec![HOST] } else { Vec::new() };
        // What is wrong in a filter or a condition is seen only when it runs: after every failure, under its own status and each that may be
        // intercepted or chosen, with all values, and with none that may be missing.
        for sample in samples() {
            let written = template.render(sample).map_err(TemplateError::of_text)?;
            if kind.is_json() && !is_json(&written) {
                return Err(TemplateError::new(format!("what it writes is no JSON: {}", shortened(&written))));
            }
        }
        Ok(Self { environment: Arc::new(environment), kind, language: None, fields: Vec::new(), reads })
    }

    fn render(&self, failure: &PublicFailure<'_>) -> Result<String, minijinja::Error> {
        let request = failure.request();
        let host = request.and_then(|request| request.field(&HOST)?.to_str().ok());
        self.environment.get_template(self.kind.name())?.render(context! {
            status => failure.status().as_u16(),
            reason => failure.reason_phrase(),
            title => failure.title(),
            summary => failure.summary(),
            language => failure.title_language(),
            code => failure.kind().token(),
            blame => failure.failure().blame().as_str(),
            retry_after => optional(failure.retry_after().map(|delay| delay.as_secs())),
            request_id => optional(failure.request_id().map(|id| id.as_str())),
            gateway => optional(failure.gateway().map(|name| name.as_str())),
            method => optional(request.map(|request| request.method().as_str())),
            path => optional(request.map(|request| request.path())),
            host => optional(host),
            is_safe => failure.is_safe(),
        })
    }
}

impl Format for Template {
    fn write(&self, failure: &PublicFailure<'_>) -> Representation {
        // It was tried when the template was made; what goes wrong all the same depends on the values.
        let written = self.render(failure).ok().filter(|written| !self.kind.is_json() || is_json(written));
        let Some(content) = written else { return PlainText.write(failure) };
        let representation = match &self.language {
            Some(language) => Representation::new(self.kind.media_type(), content).language(language.clone()),
            None => with_language(failure, self.kind.media_type(), content),
        };
        self.fields
            .iter()
            .fold(representation, |representation, (name, value)| representation.field(name.clone(), value.clone()))
    }

    fn reads(&self) -> Vec<HeaderName> {
        self.reads.clone()
    }
}

/// A value that may not be there: nothing is written for it then.
fn optional<T: Into<Value>>(value: Option<T>) -> Value {
    value.map_or(Value::UNDEFINED, Into::into)
}

/// Values of which nothing is shown: of every kind and status, with all values and with few.
fn samples() -> impl Iterator<Item = Value> {
    let own = FailureKind::ALL.iter().map(|kind| (*kind, kind.status()));
    let others = (400..600).filter_map(|code| StatusCode::from_u16(code).ok());
    let others = others.map(|status| (FailureKind::ReceivedStatus, status));
    let pairs = own.chain(others);
    pairs.flat_map(|(kind, status)| [true, false].map(|has_all| sample(kind, status, has_all)))
}

fn sample(kind: FailureKind, status: StatusCode, has_all: bool) -> Value {
    let text = || if has_all { Value::from("a") } else { Value::UNDEFINED };
    context! {
        status => status.as_u16(),
        reason => status.canonical_reason().unwrap_or(kind.title()),
        title => kind.title(),
        summary => kind.summary(),
        language => "en",
        code => kind.token(),
        blame => kind.blame().as_str(),
        retry_after => if has_all { Value::from(1) } else { Value::UNDEFINED },
        request_id => text(), gateway => text(), method => text(), path => text(), host => text(),
        is_safe => has_all,
    }
}

/// Whether a text has `{name}` in single braces. Those of a script, `${name}`, are none.
fn has_single_braces(text: &str, name: &str) -> bool {
    let single = format!("{{{name}}}");
    text.match_indices(&single).any(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text.get(at + single.len()..).and_then(|after| after.chars().next());
        !matches!(before, Some('{' | '$')) && after != Some('}')
    })
}

/// Whether a text is one JSON value.
fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// Why a text is no template.
#[derive(Debug)]
pub struct TemplateError {
    file: Option<PathBuf>,
    what: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl TemplateError {
    fn new(what: impl Into<String>) -> Self {
        Self { file: None, what: what.into(), source: None }
    }

    fn of_text(error: minijinja::Error) -> Self {
        Self::new(error.to_string())
    }

    fn caused_by(self, error: impl Error + Send + Sync + 'static) -> Self {
        Self { source: Some(Box::new(error)), ..self }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{}: {}", file.display(), self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl Error for TemplateError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn Error + 'static))
    }
}

/// What may be filled in.
const PLACEHOLDERS: [&str; 14] = [
    "status",
    "reason",
    "title",
    "summary",
    "language",
    "code",
    "blame",
    "retry_after",
    "request_id",
    "gateway",
    "method",
    "path",
    "host",
    "is_safe",
];
