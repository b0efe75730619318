//! The page people see, after every kind of failure, to be looked at in a browser.
//!
//! ```text
//! $ cargo run --example error_page
//! open http://127.0.0.1:33333/
//! ```
//!
//! `/connection_refused` and so on show the page as it is, in English or German as the browser asks for it, `/branded/connection_refused` one with a
//! title, colours, a sentence and a link of one's own, `/template/connection_refused` one from a file with placeholders. Give it an address and a
//! port to listen on, if any will not do.

use std::{env, error::Error};

use http::{Request, Response};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::net::TcpListener;
use tower::{Layer, ServiceExt, service_fn};
use tower_bad_gateway::{
    BadGatewayLayer, Failure, FailureKind, GatewayName,
    context::RequestId,
    format::{Html, InvalidLanguageTag, Negotiate, Palette, Template, Texts},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(env::args().nth(1).as_deref().unwrap_or("127.0.0.1:0")).await?;
    println!("open http://{}/", listener.local_addr()?);

    // Without a format of its own a browser is shown `Html::new()`.
    let plain = BadGatewayLayer::new().gateway_name(GatewayName::from_static("edge-1")).texts(german()?).silent();
    let page = Html::new()
        .title("The shop is closed for a moment")
        .support("mailto:help@shop.example", "Write to the shop")
        .light(Palette::LIGHT.ground([0xff, 0xfb, 0xf0]).link([0x8a, 0x1c, 0x7c]))
        .dark(Palette::DARK.ground([0x1a, 0x10, 0x20]).link([0xf0, 0xb0, 0xff]));
    let branded = BadGatewayLayer::new()
        .silent()
        .message("Der Laden \u{f6}ffnet gleich wieder.")
        .retry_after(std::time::Duration::from_secs(300))
        .format(Negotiate::new().html(page));

    let template = Template::html(include_str!("site/template.html"))?;
    let templates = plain.clone().format(Negotiate::new().html(template));

    let service = service_fn(move |mut request: Request<Incoming>| {
        let path = request.uri().path().trim_start_matches('/').to_owned();
        let layer = match path.split_once('/') {
            Some(("branded", _)) => &branded,
            Some(("template", _)) => &templates,
            _ => &plain,
        };
        if let Ok(id) = RequestId::try_from("5f0c-2a91") {
            request.extensions_mut().insert(id);
        }
        layer.layer(service_fn(upstream)).oneshot(request)
    });
    loop {
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// The texts of the page in another language, a line each.
fn german() -> Result<Texts, InvalidLanguageTag> {
    let lines = include_str!("shared/german.tsv").lines().filter_map(|line| line.split_once('\t'));
    Ok(lines.fold(Texts::new("de")?, |texts, (english, german)| texts.text(english, german)))
}

/// Fails in the way the end of the path names, and lists the ways otherwise.
async fn upstream(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Failure> {
    let token = request.uri().path().rsplit('/').next().unwrap_or_default();
    match FailureKind::ALL.iter().find(|kind| kind.token() == token) {
        Some(kind) => Err(Failure::new(*kind)),
        None => Ok(Response::new(Full::from(list()))),
    }
}

fn list() -> String {
    let tokens = FailureKind::ALL.iter().map(|kind| kind.token());
    let links = tokens.flat_map(|token| ["", "/branded", "/template"].map(|page| format!("{page}/{token}")));
    let items: String = links.map(|link| format!("<li><a href=\"{link}\">{link}</a></li>\n")).collect();
    format!("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Pages</title>\n<ul>\n{items}</ul>\n")
}
