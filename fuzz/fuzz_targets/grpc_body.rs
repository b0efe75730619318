//! Any bytes in any frames, and then the end: a status at a boundary, an abort elsewhere.
#![no_main]

#[path = "call.rs"]
mod call;

use bytes::Bytes;
use http_body::Frame;
use libfuzzer_sys::fuzz_target;

/// Whether the body ends where a message does.
fn is_whole(mut body: &[u8]) -> bool {
    while let [flag, a, b, c, d, rest @ ..] = body {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        if *flag > 1 || rest.len() < length {
            return false;
        }
        body = &rest[length..];
    }
    body.is_empty()
}

fuzz_target!(|frames: Vec<Vec<u8>>| {
    let body = frames.concat();
    let (seen, trailers) = call::call(frames.into_iter().map(|data| Frame::data(Bytes::from(data))).collect());
    assert_eq!(seen, body);
    assert_eq!(trailers.is_some(), is_whole(&body));
    assert!(trailers.is_none_or(|trailers| trailers["grpc-status"] == "13"));
});
