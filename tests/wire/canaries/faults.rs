//! What goes wrong, and where the secrets are meanwhile.

use std::time::Duration;

use rcgen::DnType;
use tower_bad_gateway::{
    BadGatewayLayer, FailureKind,
    classify::{Cause, Verdict},
    context::RequestContext,
    failure::Parameter,
    validate::{Intercept, ResponseHead, SizeLimits},
};

use super::{
    asking::Format::{self, *},
    laden::*,
    mint::Mint,
};
use crate::{
    h2_frames::*,
    tls,
    upstream::Act::{self, Fin, Rst, Seen, Wait},
};

/// What is behind the gateway.
pub(crate) enum Behind {
    H1(Vec<Act>),
    /// Speaks HTTP/1 to those who speak HTTP/2.
    Stranger(Vec<Act>),
    H2(Vec<Act>),
    Tls(tls::Fault),
    Refused,
    /// A resolver that fails with this.
    Resolver(String),
    /// A connector that fails, for a reason below a reason.
    Connector([String; 3]),
    /// A service that is not ready, and never will be.
    Unready(String),
}

pub(crate) struct Scene {
    pub(crate) behind: Behind,
    pub(crate) setting: Box<dyn Fn(BadGatewayLayer) -> BadGatewayLayer>,
}

impl From<Behind> for Scene {
    fn from(behind: Behind) -> Self {
        Self { behind, setting: Box::new(|layer| layer) }
    }
}

impl Behind {
    fn set(self, setting: impl Fn(BadGatewayLayer) -> BadGatewayLayer + 'static) -> Scene {
        Scene { behind: self, setting: Box::new(setting) }
    }
}

pub(crate) struct Fault {
    pub(crate) id: &'static str,
    pub(crate) make: Box<dyn Fn(&mut Mint) -> Scene + Send + Sync>,
    /// After a good head: the message is cut.
    pub(crate) is_cut: bool,
    /// The upload of the client is what breaks.
    pub(crate) is_upload: bool,
    /// Requests by which it is no fault, or is found only after the head.
    pub(crate) not_by: &'static [Format],
}

fn fault<S: Into<Scene>>(id: &'static str, make: impl Fn(&mut Mint) -> S + Send + Sync + 'static) -> Fault {
    let make = Box::new(move |mint: &mut Mint| make(mint).into());
    Fault { id, make, is_cut: false, is_upload: false, not_by: &[] }
}

impl Fault {
    fn cut(self) -> Self {
        Self { is_cut: true, ..self }.not_by(&[Head])
    }

    fn not_by(self, not_by: &'static [Format]) -> Self {
        Self { not_by, ..self }
    }
}

/// Held until the body has begun: what breaks by then is answered. Nothing is held of gRPC, and HEAD has nothing to hold.
fn held(layer: BadGatewayLayer) -> BadGatewayLayer {
    layer.hold_head(Duration::from_secs(30))
}

fn intercepting(layer: BadGatewayLayer) -> BadGatewayLayer {
    layer.validate(
        |head: &ResponseHead<'_>, _: &RequestContext| {
            if head.status().is_server_error() { Err(FailureKind::ReceivedStatus) } else { Ok(()) }
        },
    )
}

fn http1() -> Vec<Fault> {
    use Behind::H1;
    const CHUNKED: &str = "transfer-encoding: chunked\r\n";
    let h1 = |acts: &[Act]| H1(acts.to_vec());
    vec![
        fault("status-600", move |mint| h1(&[send(whole(mint, 600)), Fin])),
        fault("unasked-101", move |mint| h1(&[send(head(mint, 101, "")), Fin])),
        fault("status-intercepted", move |mint| {
            let rule = || Intercept::server_errors().keep_no_fields();
            h1(&[send(whole(mint, 503)), Fin]).set(move |layer| layer.intercept(rule()))
        }),
        fault("status-refused", move |mint| h1(&[send(whole(mint, 503)), Fin]).set(intercepting)),
        fault("coding-is-the-secret", move |mint| {
            let coding = format!("transfer-encoding: {}\r\n", mint.at("Transfer-Encoding"));
            h1(&[send(head(mint, 200, &coding)), Fin])
        })
        .not_by(&[Head]),
        fault("coding-and-length", move |mint| {
            let framing = format!("{CHUNKED}content-length: 5\r\n");
            h1(&[send(head(mint, 200, &framing) + &chunk(mint) + "0\r\n\r\n"), Fin])
        })
        .not_by(&[Head]),
        fault("length-is-the-secret", move |mint| {
            let length = format!("content-length: {}\r\n", mint.at("Content-Length"));
            h1(&[send(head(mint, 200, &length)), Fin])
        }),
        fault("length-twice", move |mint| {
            let length = format!("content-length: 5\r\ncontent-length: {}\r\n", mint.at("Content-Length"));
            h1(&[send(head(mint, 200, &length)), Fin])
        }),
        fault("field-too-large", move |mint| {
            let (name, value) = (mint.at("large field name"), mint.at("large field value"));
            let large = format!("HTTP/1.1 200 OK\r\nx-{name}: {value}{}\r\ncontent-length: 0\r\n\r\n", "a".repeat(100));
            h1(&[send(large), Fin]).set(|layer| layer.limit_fields(SizeLimits::new().field(64)))
        }),
        fault("section-too-large", move |mint| {
            h1(&[send(whole(mint, 200)), Fin]).set(|layer| layer.limit_fields(SizeLimits::new().section(256)))
        }),
        fault("garbage", move |mint| {
            h1(&[send(format!("{} {}\r\n\r\n", mint.at("no HTTP at all"), mint.at("no HTTP at all"))), Fin])
        }),
        fault("bad-status-line", move |mint| h1(&[send(format!("HTTP/1.1 {} OK\r\n\r\n", mint.at("status"))), Fin])),
        fault("bad-version", move |mint| h1(&[send(format!("HTTP/{} 200 OK\r\n\r\n", mint.at("version"))), Fin])),
        fault("bad-field-line", move |mint| {
            let line = format!("{} : {}\r\n", mint.at("bad field line"), mint.at("bad field line"));
            h1(&[send(head(mint, 200, &line)), Fin])
        }),
        fault("nul-in-a-field", move |mint| {
            let line = format!("x-{}: {}\0\r\n", mint.at("bad field line"), mint.at("bad field line"));
            h1(&[send(head(mint, 200, &line)), Fin])
        }),
        fault("too-many-fields", move |mint| {
            let name = mint.at("field name");
            let many: String = (0..100).map(|number| format!("x-{name}-{number}: {name}\r\n")).collect();
            h1(&[send(head(mint, 200, &many)), Fin])
        }),
        fault("early-hints-and-no-more", move |mint| {
            let hint =
                format!("HTTP/1.1 103 {}\r\nlink: </{}>\r\n\r\n", mint.at("early hints"), mint.at("early hints"));
            h1(&[send(hint), Fin])
        }),
        fault("end-in-the-head", move |mint| h1(&[send(open_head(mint, 200)), Fin])),
        fault("reset-in-the-head", move |mint| h1(&[send(open_head(mint, 200)), Rst])),
        fault("silence-in-the-head", move |mint| {
            h1(&[send(open_head(mint, 200)), Wait]).set(|layer| layer.head_timeout(Duration::from_millis(300)))
        }),
        fault("bad-chunk-at-once", move |mint| {
            let bad = mint.at("bad chunk");
            h1(&[send(head(mint, 200, CHUNKED) + &bad + "\r\n"), Fin]).set(held)
        })
        .not_by(&[Grpc, Head]),
        fault("bad-trailer-at-once", move |mint| {
            let (extension, bad) = (mint.at("chunk extension"), mint.at("bad trailer"));
            h1(&[send(head(mint, 200, CHUNKED) + &format!("0;{extension}\r\n{bad} {bad}\r\n\r\n")), Fin]).set(held)
        })
        .not_by(&[Grpc, Head]),
        fault("large-trailer-at-once", move |mint| {
            let bytes = plain_chunked(mint) + "0\r\n" + &trailers(mint, 200) + "\r\n";
            h1(&[send(bytes), Fin]).set(|layer| held(layer).limit_fields(SizeLimits::new().field(128)))
        })
        .not_by(&[Grpc, Head]),
        fault("reset-before-the-body", move |mint| h1(&[send(head(mint, 200, CHUNKED)), Rst]).set(held))
            .not_by(&[Grpc, Head]),
        fault("bad-chunk", move |mint| {
            let bad = mint.at("bad chunk");
            h1(&[send(head(mint, 200, CHUNKED) + &chunk(mint)), Seen, send(bad + "\r\n"), Fin])
        })
        .cut(),
        fault("bad-trailer", move |mint| {
            let bad = mint.at("bad trailer");
            h1(&[send(head(mint, 200, CHUNKED) + &chunk(mint)), Seen, send(format!("0\r\n{bad} {bad}\r\n\r\n")), Fin])
        })
        .cut(),
        fault("large-trailer", move |mint| {
            let late = send(format!("0\r\n{}\r\n", trailers(mint, 200)));
            h1(&[send(plain_chunked(mint) + &chunk(mint)), Seen, late, Fin])
                .set(|layer| layer.limit_fields(SizeLimits::new().field(128)))
        })
        .cut(),
        fault("reset-in-the-body", move |mint| h1(&[send(head(mint, 200, CHUNKED) + &chunk(mint)), Seen, Rst])).cut(),
        Fault { is_upload: true, ..fault("upload-breaks", move |_| h1(&[Wait])) }.not_by(&[Head]),
    ]
}

fn http2() -> Vec<Fault> {
    use Behind::{H2, Stranger};
    const BAD: &str = "bad field of HTTP/2";
    let h2 = |acts: &[Act]| H2(acts.to_vec());
    let malformed = move |mint: &mut Mint, rest: Vec<u8>| {
        let block = [block(mint, 200), rest].concat();
        h2(&[send(headers(1, END_STREAM, &block))])
    };
    let mut faults = vec![
        fault("h2-status-600", move |mint| {
            let (block, content) = (block(mint, 600), mint.through("content"));
            h2(&[send([headers(1, 0, &block), frame(DATA, END_STREAM, 1, content.as_bytes())].concat())])
        }),
        fault("h2-status-intercepted", move |mint| {
            let (block, content, trailers) = (block(mint, 503), mint.through("content"), trailer_block(mint));
            let frames =
                [headers(1, 0, &block), frame(DATA, 0, 1, content.as_bytes()), headers(1, END_STREAM, &trailers)];
            h2(&[send(frames.concat())]).set(intercepting)
        }),
        fault("h2-status-is-the-secret", move |mint| {
            h2(&[send(headers(1, END_STREAM, &field(b":status", mint.at("status").as_bytes())))])
        }),
        fault("h2-upper-case-name", move |mint| {
            let bad = field(format!("X-{}", mint.at(BAD)).as_bytes(), mint.at(BAD).as_bytes());
            malformed(mint, bad)
        }),
        fault("h2-unknown-pseudo-field", move |mint| {
            let bad = field(format!(":{}", mint.at(BAD)).as_bytes(), mint.at(BAD).as_bytes());
            malformed(mint, bad)
        }),
        fault("h2-nul-in-a-value", move |mint| {
            let bad = field(b"x-a", format!("{}\0", mint.at(BAD)).as_bytes());
            malformed(mint, bad)
        }),
        fault("h2-connection-field", move |mint| {
            let bad = field(b"connection", mint.at(BAD).as_bytes());
            malformed(mint, bad)
        }),
        fault("h2-length-is-the-secret", move |mint| {
            let bad = field(b"content-length", mint.at("Content-Length").as_bytes());
            malformed(mint, bad)
        }),
        fault("h2-reset-before-the-body", move |mint| {
            h2(&[send([headers(1, 0, &block(mint, 200)), rst_stream(1, 0x2)].concat())]).set(held)
        })
        .not_by(&[Grpc, Head]),
        fault("h2-goaway-in-the-body", move |mint| {
            let (block, content) = (block(mint, 200), mint.through("content"));
            let frames = [headers(1, 0, &block), frame(DATA, 0, 1, content.as_bytes())].concat();
            h2(&[send(frames), Seen, send(goaway(1, 0x2, mint.at("GOAWAY debug data").as_bytes())), Fin])
        })
        .cut(),
        fault("h2-trailers-without-end", move |mint| {
            let (block, content, trailers) = (block(mint, 200), mint.through("content"), trailer_block(mint));
            let frames = [headers(1, 0, &block), frame(DATA, 0, 1, content.as_bytes())].concat();
            h2(&[send(frames), Seen, send(headers(1, 0, &trailers))])
        })
        .cut(),
        fault("h2-is-not-spoken", |mint| {
            let text = format!("HTTP/1.1 400 {}\r\n\r\n{}", mint.at("reason phrase"), mint.at("no HTTP at all"));
            Stranger(vec![send(text), Fin])
        }),
    ];
    for (id, code) in [
        ("h2-goaway-no-error", 0x0),
        ("h2-goaway-protocol-error", 0x1),
        ("h2-goaway-internal-error", 0x2),
        ("h2-goaway-calm", 0xb),
        ("h2-goaway-unknown", 0x99),
    ] {
        faults.push(fault(id, move |mint| h2(&[send(goaway(0, code, mint.at("GOAWAY debug data").as_bytes())), Fin])));
    }
    faults
}

fn certificate(mint: &mut Mint) -> rcgen::CertificateParams {
    let mut params = tls::params(&format!("{}.example", mint.at("certificate: subject alternative name")));
    params.distinguished_name.push(DnType::CommonName, mint.at("certificate: common name"));
    params.distinguished_name.push(DnType::OrganizationName, mint.at("certificate: organization"));
    params
}

fn connecting() -> Vec<Fault> {
    use Behind::{Connector, Refused, Resolver, Tls, Unready};
    let hello = |params, issuer| Tls(tls::Fault::Hello(tls::server(&params, issuer, tls::BOTH, tls::Wants::default())));
    let mut faults = vec![
        fault("refused", |_| Refused),
        fault("resolver", |mint| Resolver(mint.at("error of the resolver"))),
        fault("connector", |mint| Connector([(); 3].map(|()| mint.at("error of the connector")))),
        fault("not-ready", |mint| Unready(mint.at("error of poll_ready"))),
        fault("certificate-of-a-stranger", move |mint| hello(certificate(mint), &tls::FOREIGN)),
        fault("certificate-for-another-name", move |mint| hello(certificate(mint), &tls::TRUSTED)),
        fault("alert", |mint| {
            // bad_certificate_hash_value: nobody sends it by chance.
            for name in ["BadCertificateHashValue", "bad_certificate_hash_value"] {
                mint.put("TLS alert", name.to_owned(), false);
            }
            if cfg!(feature = "rustls") {
                mint.put("TLS alert: number", "alert-id=114".to_owned(), false);
            }
            Tls(tls::Fault::Raw(&[Act::Send(b"\x15\x03\x03\x00\x02\x02\x72"), Fin]))
        }),
        fault("tls-is-not-spoken", |mint| {
            let text = format!("HTTP/1.1 400 {}\r\n\r\n{}", mint.at("reason phrase"), mint.at("no TLS at all"));
            Tls(tls::Fault::Raw(Vec::leak(vec![send(text), Fin])))
        }),
    ];
    type Make = fn(String) -> Parameter;
    let parameters: [(&'static str, FailureKind, Make); 5] = [
        ("parameter rcode", FailureKind::DnsError, |text| Parameter::Rcode(text.into())),
        ("parameter alert-message", FailureKind::TlsAlertReceived, |text| Parameter::AlertMessage(text.into())),
        ("parameter status-phrase", FailureKind::HttpRequestError, |text| Parameter::StatusPhrase(text.into())),
        ("parameter header-name", FailureKind::HttpResponseHeaderSize, |text| {
            Parameter::HeaderName(text.parse().unwrap())
        }),
        ("parameter coding", FailureKind::HttpResponseContentCoding, |text| Parameter::Coding(text.into())),
    ];
    for (place, kind, parameter) in parameters {
        faults.push(fault(place, move |mint| {
            let text = mint.at(place);
            Connector([(); 3].map(|()| mint.at("error of the connector"))).set(move |layer| {
                let text = text.clone();
                layer.classify(move |_: &Cause<'_>| Some(Verdict::new(kind).parameter(parameter(text.clone()))))
            })
        }));
    }
    faults
}

pub(crate) fn all() -> Vec<Fault> {
    [connecting(), http1(), http2()].into_iter().flatten().collect()
}
