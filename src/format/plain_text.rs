//! One line of text.
//!
//! This format is also what every other one falls back on: when a format panics, when its content is too long, when nothing is
//! offered, and for a failure that an axum handler returns. So it must not fail itself: it calls no code of a user, and its
//! sentence is at most 1 KiB long.

use http::HeaderValue;

use super::{Format, PublicFailure, Representation, with_language};

/// `text/plain`: one line, such as `502 Bad Gateway: the upstream refused the connection`, with the identifier of the request
/// in brackets behind it where there is one.
///
/// The line ends in a line feed. Control characters in a user's sentence become spaces, so that it stays one line. Nothing else
/// is escaped, as the media type needs no escaping.
///
/// It is the fallback of every other format as well: see [`Format::write`].
///
/// ```
/// use std::io;
/// use http::Request;
/// use http_body_util::{BodyExt, Full};
/// use tower::{Layer, ServiceExt, service_fn};
/// use tower_bad_gateway::{BadGatewayLayer, context::RequestId, format::PlainText};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let upstream = service_fn(|_: Request<String>| async {
///     Err::<http::Response<Full<bytes::Bytes>>, _>(io::Error::from(io::ErrorKind::ConnectionRefused))
/// });
/// let mut request = Request::new(String::new());
/// request.extensions_mut().insert(RequestId::try_from("7f3a-12").unwrap());
///
/// let Ok(response) = BadGatewayLayer::new().format(PlainText).layer(upstream).oneshot(request).await;
/// assert_eq!(
///     response.into_body().collect().await.unwrap().to_bytes(),
///     "502 Bad Gateway: the upstream refused the connection (reference: 7f3a-12)\n"
/// );
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainText;

impl Format for PlainText {
    fn write(&self, failure: &PublicFailure<'_>) -> Representation {
        let sentence = failure.summary().replace(char::is_control, " ");
        let reference = failure.request_id().map_or(String::new(), |id| format!(" (reference: {id})"));
        let line = format!("{} {}: {sentence}{reference}\n", failure.status().as_u16(), failure.reason_phrase());
        with_language(failure, MEDIA_TYPE, line)
    }
}

/// The charset is named because a user's sentence may have letters beyond ASCII, and a client without a charset guesses.
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
