//! Formats that show the same whatever has failed.

use std::{fs::File, path::Path};
// A file is read once, before there is any failure: no error of it is ever classified.
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
/// Not for text that depends on the failure: a closure is a [`Format`] as well.
#[derive(Clone, Debug)]
pub struct Static(Representation);

impl Static {
    /// Content of this media type.
    #[must_use]
    pub fn new(media_type: HeaderValue, content: impl Into<Bytes>) -> Self {
        Self(Representation::new(media_type, content))
    }

    /// The content of a file, which is read now and never again.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or when there is more in it than may be sent
    /// ([`Representation::MAX_CONTENT`]).
    pub fn from_file(media_type: HeaderValue, path: impl AsRef<Path>) -> io::Result<Self> {
        let mut content = Vec::new();
        // One more than may be sent, so that too much is seen without reading all of it.
        let most = u64::try_from(Representation::MAX_CONTENT).unwrap_or(u64::MAX).saturating_add(1);
        File::open(path)?.take(most).read_to_end(&mut content)?;
        let this = Self::new(media_type, content);
        if this.0.is_too_large() { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(this) }
    }

    /// Sets `Content-Language`.
    #[must_use]
    pub fn language(self, language: HeaderValue) -> Self {
        Self(self.0.language(language))
    }

    /// Adds a field, such as a `Content-Security-Policy` for a page.
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
