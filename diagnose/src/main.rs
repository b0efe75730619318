//! Asks a URL, and says in plain words which hop failed, what that means and what to check next.
//!
//! ```text
//! $ cargo run --example gateway &
//! $ cargo run --package bad-gateway-diagnose -- http://127.0.0.1:8080/refused
//! gateway could not connect to what is behind it: connection refused (502).
//!
//! The machine is there, but nothing takes connections on that port.
//!
//! Check next
//!   - Is the service behind gateway running? Look at its log for why it ended.
//!   ...
//!
//! Evidence
//!   path            client -> gateway -> ?
//!   sure            as the hop itself says it, in Proxy-Status
//!   answer          HTTP/1.1 502
//!   proxy-status    gateway;error=connection_refused
//!   ...
//! ```
//!
//! Without a URL it builds such a chain on this machine, breaks one hop after the other, and checks that it names the right
//! one:
//!
//! ```text
//! $ cargo run --package bad-gateway-diagnose
//! client -> edge -> origin -> upstream, one of them broken
//! ...
//! right  the upstream refuses connections
//!        origin could not connect to what is behind it: connection refused (502).
//!        broken: upstream, named: behind origin
//! ...
//! ```
//!
//! `--json` prints the same for programs; `--help` lists its members and the rest.

mod ask;
mod clean;
mod demo;
mod foreign;
mod options;
mod read;
mod report;
mod runbook;
mod trust;
mod words;

use std::{
    error::Error,
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
};

use http::{Uri, uri::Scheme};
use rustls::ClientConfig;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;

use crate::{ask::Ask, options::Options, trust::Trust};

fn main() -> ExitCode {
    let outcome = Options::parse(lexopt::Parser::from_env()).and_then(|options| match options {
        None => {
            print(options::HELP);
            Ok(0)
        }
        Some(options) if options.runbook => {
            print(&runbook::markdown());
            Ok(0)
        }
        Some(options) => {
            let runtime = Runtime::new()?;
            let outcome = runtime.block_on(run(options));
            // The system's resolver cannot be stopped: nobody waits for it.
            runtime.shutdown_background();
            outcome
        }
    });
    outcome.map_or_else(
        |error| {
            let _ = writeln!(io::stderr(), "diagnose: {error}");
            ExitCode::from(2)
        },
        ExitCode::from,
    )
}

async fn run(options: Options) -> Result<u8, Box<dyn Error>> {
    let Options { url, json, timeout, ca, headers, runbook: _ } = options;
    let Some(url) = url else { return demonstrate(json).await };
    let tls = tls(&url, ca.as_deref())?;
    Ok(diagnose(&Ask { timeout, tls, headers }, &url, json).await)
}

async fn diagnose(ask: &Ask, url: &Uri, json: bool) -> u8 {
    let asked = ask.ask(url).await;
    let diagnosis = read::diagnose(&asked);
    if json {
        print(&format!("{:#}\n", report::json(&asked, &diagnosis)));
    } else {
        print(&report::text(&asked, &diagnosis));
    }
    read::exit(&diagnosis)
}

/// 0 if the right hop was named each time.
async fn demonstrate(json: bool) -> Result<u8, Box<dyn Error>> {
    let rows = demo::run().await?;
    if json {
        print(&format!("{:#}\n", demo::json(&rows)));
    } else {
        print(&demo::text(&rows));
    }
    Ok(u8::from(!rows.iter().all(|row| row.is_right)))
}

/// A machine without certificates is no reason not to ask where none are needed.
fn tls(url: &Uri, ca: Option<&std::path::Path>) -> Result<Option<TlsConnector>, Box<dyn Error>> {
    match ca {
        Some(file) => Ok(Some(connector(trust::config(Trust::File(file))?))),
        None if url.scheme() == Some(&Scheme::HTTPS) => Ok(Some(connector(trust::config(Trust::System)?))),
        None => Ok(None),
    }
}

pub(crate) fn connector(mut config: ClientConfig) -> TlsConnector {
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsConnector::from(Arc::new(config))
}

/// Whoever reads this may have read enough after the first line.
fn print(text: &str) {
    let mut out = io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
