//! The command line.

use std::{error::Error, path::PathBuf, time::Duration};

use http::{HeaderName, HeaderValue, Uri, uri::Scheme};
use lexopt::{
    Arg::{Long, Short, Value},
    Parser, ValueExt,
};

const HELP: &str = "\
Asks a URL, and says in plain words which hop failed, what that means and what to check next.

Usage: diagnose [URL] [options]

Without a URL it builds client -> edge -> origin -> upstream on this machine, breaks one of them after the other, and
checks that it names the right one.

  --json           the same for programs
  --timeout TIME   how long all of it may take, such as 500ms or 1m [10s]
  --ca FILE        trust the certificates of this PEM file instead of the system's
  --header FIELD   send this field as well, such as 'x-debug: 1'; may be given more than once
  --help           this text

The exit code is 0 if no hop failed, 1 if one did (in the demonstration: if a wrong one was named), 2 if the command line
cannot be understood.
";

/// What the command line asks for.
pub(crate) struct Options {
    pub(crate) url: Option<Uri>,
    pub(crate) json: bool,
    pub(crate) timeout: Duration,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

/// Nobody waits longer, and no clock overflows.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

impl Options {
    /// Reads the command line; `None` when it only asked for help.
    pub(crate) fn parse(mut parser: Parser) -> Result<Option<Self>, Box<dyn Error>> {
        let timeout = Duration::from_secs(10);
        let mut options = Self { url: None, json: false, timeout, ca: None, headers: Vec::new() };
        while let Some(argument) = parser.next()? {
            match argument {
                Value(text) if options.url.is_none() => options.url = Some(url(&text.string()?)?),
                Long("json") => options.json = true,
                Long("timeout") => {
                    let text = parser.value()?.string()?;
                    let time =
                        humantime::parse_duration(&text).map_err(|error| format!("--timeout {text}: {error}"))?;
                    if time.is_zero() || time > LONGEST {
                        return Err(format!("--timeout {text}: more than nothing, and a day at most").into());
                    }
                    options.timeout = time;
                }
                Long("ca") => options.ca = Some(parser.value()?.into()),
                Long("header") => options.headers.push(header(&parser.value()?.string()?)?),
                Long("help") | Short('h') => {
                    print!("{HELP}");
                    return Ok(None);
                }
                other => return Err(format!("{}; --help lists the options", other.unexpected()).into()),
            }
        }
        if options.url.is_none() && (options.ca.is_some() || !options.headers.is_empty()) {
            return Err("--ca and --header need a URL".into());
        }
        Ok(Some(options))
    }
}

fn header(line: &str) -> Result<(HeaderName, HeaderValue), Box<dyn Error>> {
    let (name, value) = line.split_once(':').ok_or_else(|| format!("--header {line}: name: value is needed"))?;
    Ok((HeaderName::try_from(name.trim())?, HeaderValue::try_from(value.trim())?))
}

/// `http` or `https`, and a host.
pub(crate) fn url(text: &str) -> Result<Uri, String> {
    let wrong = |what: &str| format!("{text}: {what}");
    let uri: Uri = text.parse().map_err(|error: http::uri::InvalidUri| wrong(&error.to_string()))?;
    let is_known = uri.scheme().is_some_and(|scheme| [Scheme::HTTP, Scheme::HTTPS].contains(scheme));
    let Some(authority) = uri.authority().filter(|authority| is_known && !authority.host().is_empty()) else {
        return Err(wrong("http:// or https:// and a host are needed"));
    };
    if authority.as_str().contains('@') {
        return Err(wrong("a name and password have no meaning here"));
    }
    // A port that is none reads as no port.
    let port = authority.as_str().get(authority.host().len()..).unwrap_or_default();
    if !port.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
        return Err(wrong("a port between 1 and 65535 is needed"));
    }
    Ok(uri)
}
