//! Any trailers: what a client sees is one status, and a message that it can decode.
#![no_main]

#[path = "call.rs"]
mod call;

use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|fields: Vec<(u8, Vec<u8>)>| {
    let mut trailers = HeaderMap::new();
    for (name, value) in &fields {
        let name = ["grpc-status", "grpc-message", "grpc-status-details-bin", "x-other"][usize::from(name % 4)];
        if let Ok(value) = HeaderValue::from_bytes(value) {
            trailers.append(HeaderName::from_static(name), value);
        }
    }
    let (_, seen) = call::call([Frame::trailers(trailers)].into());
    let seen = seen.expect("there was no message, so that this is a boundary");
    let codes: Vec<_> = seen.get_all("grpc-status").iter().collect();
    assert!(codes.len() == 1 && (0..=16).any(|code: u8| code.to_string().as_bytes() == codes[0].as_bytes()), "{seen:?}");
    if let Some(message) = seen.get("grpc-message") {
        assert!(message.as_bytes().iter().all(|byte| (b' '..=b'~').contains(byte)), "{message:?}");
        assert!(percent_encoding::percent_decode(message.as_bytes()).decode_utf8().is_ok(), "{message:?}");
    }
});
