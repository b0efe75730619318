//! The tonic client of `scripts/grpc`: `grpc-tonic ADDRESS FAULT...` calls each in four ways, and prints what came of it.

use std::{error::Error, time::Duration};

use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use tokio::time::Instant;
use tokio_stream::StreamExt;
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder, Streaming},
    transport::{Channel, Endpoint},
};

/// Messages as they are.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

fn asked<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(Duration::from_secs(5));
    request
}

async fn call(channel: Channel, kind: &str, path: PathAndQuery, seen: &mut u32) -> Result<(), Status> {
    let mut client = Grpc::new(channel);
    client.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
    let one = Bytes::from_static(b"abc");
    let mut stream: Streaming<Bytes> = match kind {
        "unary" => return client.unary(asked(one), path, Raw).await.map(drop),
        "client" => return client.client_streaming(asked(tokio_stream::once(one)), path, Raw).await.map(drop),
        "server" => client.server_streaming(asked(one), path, Raw).await?.into_inner(),
        // Its side stays open until it has its answer.
        _ => {
            let open = tokio_stream::once(one).chain(tokio_stream::pending());
            client.streaming(asked(open), path, Raw).await?.into_inner()
        }
    };
    while stream.message().await?.is_some() {
        *seen += 1;
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("usage: grpc-tonic ADDRESS FAULT...")?;
    let name = if cfg!(feature = "server") { "tonic" } else { "tonic, channel alone" };
    for fault in arguments {
        for kind in ["unary", "server", "client", "bidi"] {
            let (start, mut seen) = (Instant::now(), 0);
            let channel = Endpoint::from_shared(format!("http://{address}"))?.connect_lazy();
            let outcome = call(channel, kind, format!("/t.T/{fault}").parse()?, &mut seen).await;
            let (code, text) = outcome.err().map_or((0, String::new()), |status| {
                (i32::from(status.code()), status.message().replace(['"', '\\'], "'"))
            });
            println!("[\"{name}\", \"{kind}\", \"{fault}\", {code}, \"{text}\", {seen}, {}]", start.elapsed().as_millis());
        }
    }
    Ok(())
}
