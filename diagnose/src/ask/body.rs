//! Reads a body to its end, and checks that it is one.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Version, header, response::Parts};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout};
use tower_bad_gateway::{BoxError, Failure, FailureKind, failure::Phase};

use super::End;

/// So many bytes are kept, for what they say; of the others only the end is of interest.
const KEPT: usize = 1024 * 1024;

/// What is kept of the body, how many bytes it had, and how it ended.
pub(super) async fn read<B>(head: &Parts, mut body: B, start: Instant, limit: Duration) -> (Vec<u8>, u64, End)
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    let begun = Instant::now();
    let (mut kept, mut received, mut last) = (Vec::new(), 0_u64, begun);
    let end = loop {
        let left = limit.saturating_sub(start.elapsed());
        match timeout(left, body.frame()).await {
            Ok(None) => break end(head, received, body.is_end_stream()),
            Ok(Some(Ok(frame))) => {
                last = Instant::now();
                let data = frame.into_data().unwrap_or_default();
                received = received.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
                kept.extend(data.iter().take(KEPT.saturating_sub(kept.len())));
            }
            Ok(Some(Err(error))) => break End::Broken(Failure::from_body_error(error)),
            Err(_) => break unfinished(&head.headers, last.elapsed(), begun.elapsed(), limit),
        }
    };
    (kept, received, end)
}

/// Nothing more comes. hyper calls that an end, too, where HTTP/2 says `NO_ERROR` in the middle of it.
fn end(head: &Parts, received: u64, is_end_stream: bool) -> End {
    let has_none = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&head.status);
    let promised = head.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let is_short = promised.is_some_and(|promised: u64| received < promised) && !has_none;
    let is_http2 = head.version == Version::HTTP_2;
    if is_short || (is_http2 && !is_end_stream) {
        return End::Broken(Failure::new(FailureKind::HttpResponseIncomplete).with_phase(Phase::ResponseBody));
    }
    let has_end = is_http2 || promised.is_some() || is_chunked(&head.headers) || has_none;
    if has_end || head.status == StatusCode::SWITCHING_PROTOCOLS { End::Whole } else { End::Closed }
}

/// Chunks come last, or do not say where the body ends (RFC 9112, section 6.3).
fn is_chunked(headers: &HeaderMap) -> bool {
    let last = headers.get_all(header::TRANSFER_ENCODING).iter().next_back();
    let coding = last.and_then(|line| line.as_bytes().rsplit(|&byte| byte == b',').next());
    coding.is_some_and(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"chunked"))
}

/// The time is over. It takes a good part of it to call that silence, and a stream of events may always be silent.
fn unfinished(headers: &HeaderMap, silence: Duration, waited: Duration, limit: Duration) -> End {
    let is_stream =
        headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
    let is_long = silence * 2 >= waited && silence * 4 >= limit;
    if is_long && !is_stream { End::Silent(silence) } else { End::Unfinished(silence) }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        convert::Infallible,
        pin::Pin,
        task::{Context, Poll},
    };

    use http::{HeaderName, HeaderValue, Response};
    use http_body::Frame;

    use super::*;

    /// Each frame comes so long after the one before; then the end, if there is one.
    struct Script {
        frames: VecDeque<(Duration, Bytes)>,
        next: Option<Pin<Box<tokio::time::Sleep>>>,
        ends: bool,
        is_end_stream: bool,
    }

    impl Body for Script {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let Some((after, data)) = self.frames.front().cloned() else {
                return if self.ends { Poll::Ready(None) } else { Poll::Pending };
            };
            let sleep = self.next.get_or_insert_with(|| Box::pin(tokio::time::sleep(after)));
            std::task::ready!(sleep.as_mut().poll(cx));
            (self.next, _) = (None, self.frames.pop_front());
            Poll::Ready(Some(Ok(Frame::data(data))))
        }

        fn is_end_stream(&self) -> bool {
            self.is_end_stream
        }
    }

    fn script(seconds: &[u64], ends: bool) -> Script {
        let frames = seconds.iter().map(|&after| (Duration::from_secs(after), Bytes::from_static(b"four"))).collect();
        Script { frames, next: None, ends, is_end_stream: false }
    }

    fn head(version: Version, status: u16, fields: &[(&'static str, &'static str)]) -> Parts {
        let mut response = Response::new(());
        *response.version_mut() = version;
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in fields {
            response.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        response.into_parts().0
    }

    async fn ending(head: Parts, body: Script) -> String {
        let (_, received, end) = read(&head, body, Instant::now(), Duration::from_secs(10)).await;
        let end = match end {
            End::Broken(failure) => failure.kind().to_string(),
            End::Silent(_) => "silent".to_owned(),
            End::Unfinished(_) => "unfinished".to_owned(),
            other => format!("{other:?}"),
        };
        format!("{received} {end}")
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_is_an_end_only_where_it_can_be_checked() {
        const LENGTH: &[(&str, &str)] = &[("content-length", "100")];
        const EIGHT: &[(&str, &str)] = &[("content-length", "8")];
        const CHUNKED: &[(&str, &str)] = &[("transfer-encoding", "gzip"), ("transfer-encoding", "Chunked")];
        let (h1, h10, h2) = (Version::HTTP_11, Version::HTTP_10, Version::HTTP_2);
        let mut wrong = Vec::new();
        for (version, status, fields, is_end_stream, expected) in [
            (h1, 200, EIGHT, false, "8 Whole"),
            (h10, 200, EIGHT, false, "8 Whole"),
            (h1, 200, CHUNKED, false, "8 Whole"),
            (h1, 200, &[("transfer-encoding", "foo")], false, "8 Closed"),
            (h1, 200, &[("transfer-encoding", "chunked, foo")], false, "8 Closed"),
            (h1, 200, &[], false, "8 Closed"),
            (h10, 200, &[], false, "8 Closed"),
            (h1, 200, LENGTH, false, "8 http_response_incomplete"),
            (h2, 200, EIGHT, true, "8 Whole"),
            (h2, 200, &[], true, "8 Whole"),
            (h2, 200, LENGTH, true, "8 http_response_incomplete"),
            (h2, 200, EIGHT, false, "8 http_response_incomplete"),
            (h2, 200, &[], false, "8 http_response_incomplete"),
            (h1, 304, LENGTH, false, "8 Whole"),
            (h1, 204, &[], false, "8 Whole"),
        ] {
            let body = Script { is_end_stream, ..script(&[0, 0], true) };
            let got = ending(head(version, status, fields), body).await;
            if got != expected {
                wrong.push(format!("{version:?} {status} {fields:?} {is_end_stream}: {got}, not {expected}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_what_lasts_for_a_good_part_of_the_time() {
        const EVENTS: &[(&str, &str)] = &[("content-type", "text/event-stream; charset=utf-8")];
        let mut wrong = Vec::new();
        for (seconds, fields, expected) in [
            (&[][..], &[][..], "0 silent"),
            (&[0], &[], "4 silent"),
            (&[0], EVENTS, "4 unfinished"),
            (&[1, 1, 1, 1, 1, 1, 1, 1, 1, 5], &[], "36 unfinished"),
            (&[4, 4, 4], &[], "8 unfinished"),
            (&[1, 2], &[], "8 silent"),
        ] {
            let got = ending(head(Version::HTTP_11, 200, fields), script(seconds, false)).await;
            if got != expected {
                wrong.push(format!("{seconds:?} {fields:?}: {got}, not {expected}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        // The head came so late that nobody can tell.
        let start = Instant::now() - Duration::from_secs(9);
        let (.., end) =
            read(&head(Version::HTTP_11, 200, &[]), script(&[], false), start, Duration::from_secs(10)).await;
        assert!(matches!(end, End::Unfinished(_)), "{end:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_kept_is_read_all_the_same() {
        let frames = (0..4).map(|_| (Duration::ZERO, Bytes::from(vec![b'x'; KEPT / 2 + 1]))).collect();
        let body = Script { frames, next: None, ends: true, is_end_stream: false };
        let head = head(Version::HTTP_11, 200, &[("content-length", "10000000")]);
        let (kept, received, end) = read(&head, body, Instant::now(), Duration::from_secs(10)).await;
        assert_eq!((kept.len(), received), (KEPT, 2 * 1024 * 1024 + 4));
        assert!(matches!(end, End::Broken(_)), "{end:?}");
    }
}
