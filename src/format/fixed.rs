//! Formats that show the same content after every failure.
//!
//! Content is held as `Bytes`: every answer shares it, and nothing is copied or read when a failure happens. The only input is
//! what the user gives when the layer is made, so these formats must not look at the failure.

use std::{fs::File, path::Path};
// The house keeps `std::io` for the readers of errors: the error of this file is the user's own, and is never classified.
use std::io::{self, Read};

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use super::{Format, PublicFailure, Representation};

/// Content that was made beforehand: the `error_page 502 /502.html` of nginx, the `ErrorDocument` of Apache.
///
/// ```
/// use http::{HeaderValue, StatusCode};
/// use tower_bad_gateway::{BadGatewayLayer, format::{Negotiate, Static}};
///
/// const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
/// let page = Static::new(HTML, "<!doctype html><title>Sorry</title>...");
/// // Or, read once at start-up: let page = Static::from_file(HTML, "/etc/gateway/502.html")?;
///
/// // To everyone, after every failure:
/// let layer = BadGatewayLayer::new().format(page.clone());
/// // Or to browsers alone, while programs still get what they ask for:
/// let layer = BadGatewayLayer::new().format(Negotiate::new().html(page));
/// ```
///
/// Not for text that depends on the failure: a closure is a [`Format`] as well. Not for a file that changes while the program
/// runs: it is read once.
#[derive(Clone, Debug)]
pub struct Static(Representation);

impl Static {
    /// Content of this media type. Without [`language`](Self::language) the answer has no `Content-Language`.
    ///
    /// Content of more than [`Representation::MAX_CONTENT`] is taken here and never sent: the client is shown
    /// [`PlainText`](super::PlainText) instead. [`from_file`](Self::from_file) refuses it at once.
    #[must_use]
    pub fn new(media_type: HeaderValue, content: impl Into<Bytes>) -> Self {
        Self(Representation::new(media_type, content))
    }

    /// The content of a file, which is read now and never again. It blocks: call it at start-up, before the server accepts.
    ///
    /// ```
    /// use http::HeaderValue;
    /// use tower_bad_gateway::{BadGatewayLayer, format::{Negotiate, Static}};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let path = std::env::temp_dir().join(format!("tower-bad-gateway-example-{}.html", std::process::id()));
    /// # std::fs::write(&path, "<!doctype html>")?;
    /// let page = Static::from_file(HeaderValue::from_static("text/html; charset=utf-8"), &path)?;
    /// # std::fs::remove_file(&path)?;
    /// let layer = BadGatewayLayer::new().format(Negotiate::new().html(page));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or, with [`io::ErrorKind::FileTooLarge`], when there is more in it than may be sent
    /// ([`Representation::MAX_CONTENT`]).
    pub fn from_file(media_type: HeaderValue, path: impl AsRef<Path>) -> io::Result<Self> {
        let mut content = Vec::new();
        // One byte more than may be sent: a file without end, such as a device, would otherwise fill the memory.
        let most = u64::try_from(Representation::MAX_CONTENT).unwrap_or(u64::MAX).saturating_add(1);
        File::open(path)?.take(most).read_to_end(&mut content)?;
        let this = Self::new(media_type, content);
        if this.0.is_too_large() { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(this) }
    }

    /// Sets `Content-Language`, as [`Representation::language`] does.
    #[must_use]
    pub fn language(self, language: HeaderValue) -> Self {
        Self(self.0.language(language))
    }

    /// Adds a field, such as a `Content-Security-Policy` for a page, by the rules of [`Representation::field`].
    ///
    /// ```
    /// use http::{HeaderValue, header::CONTENT_SECURITY_POLICY};
    /// use tower_bad_gateway::format::Static;
    ///
    /// let page = Static::new(HeaderValue::from_static("text/html; charset=utf-8"), "<!doctype html>...")
    ///     .language(HeaderValue::from_static("de"))
    ///     .field(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"));
    /// ```
    #[must_use]
    pub fn field(self, name: HeaderName, value: HeaderValue) -> Self {
        Self(self.0.field(name, value))
    }
}

impl Format for Static {
    fn write(&self, _: &PublicFailure<'_>) -> Representation {
        self.0.clone()
    }
}

/// No content at all: the status says enough.
///
/// The answer has `Content-Length: 0` and neither `Content-Type` nor `Content-Language`. The fields of the layer are sent all the
/// same, with `Proxy-Status` if the gateway has a name.
///
/// ```
/// use tower_bad_gateway::{BadGatewayLayer, format::Empty};
///
/// let layer = BadGatewayLayer::new().format(Empty);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Empty;

impl Format for Empty {
    fn write(&self, _: &PublicFailure<'_>) -> Representation {
        Representation::empty()
    }
}
