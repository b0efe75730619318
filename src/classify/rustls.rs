//! `rustls::Error` (feature `rustls`), found inside the `io::Error` of a TLS stream.
//!
//! | error | kind |
//! | --- | --- |
//! | `InvalidDnsNameError` | proxy_configuration_error, phase connect, not sent |
//! | `InvalidCertificate`, `NoCertificatesPresented` | tls_certificate_error |
//! | `AlertReceived` | tls_alert_received, with the number of the alert |
//! | any other | tls_protocol_error |
//!
//! Alerts are those of [RFC 8446, section 6](https://www.rfc-editor.org/rfc/rfc8446#section-6).
//! The phase is that of TLS, also for an alert that comes later on the connection. Whether the request was sent does not follow from the
//! error; [`super::place`] adds it where the connection was being opened.
//!
//! This crate has no reader for other TLS libraries: users write theirs by the recipes in [`super`]. A reader that this crate adds is a file
//! beside this one, with its `mod` and a feature, and a line in `READERS`. Without feature `rustls` the reader in `hyper_util` takes an I/O error of kind `InvalidData`, while
//! a connection is opened, for a failure of TLS.

use rustls::{Error, pki_types::InvalidDnsNameError};

use super::{Cause, Verdict};
use crate::failure::{FailureKind, Parameter, Phase};

/// The verdict on what rustls reports, of the handshake or later.
pub(super) fn read(cause: &Cause<'_>) -> Option<Verdict> {
    if cause.find::<InvalidDnsNameError>().is_some() {
        // The host of the URI is no name that a certificate could be for: the gateway's settings, and no TLS was spoken.
        return Some(Verdict::not_sent(FailureKind::ProxyConfigurationError, Phase::Connect));
    }
    let verdict = match cause.find::<Error>()? {
        Error::InvalidCertificate(_) | Error::NoCertificatesPresented => Verdict::new(FailureKind::TlsCertificateError),
        Error::AlertReceived(alert) => {
            Verdict::new(FailureKind::TlsAlertReceived).parameter(Parameter::AlertId(u8::from(*alert)))
        }
        _ => Verdict::new(FailureKind::TlsProtocolError),
    };
    Some(verdict.phase(Phase::Tls))
}

#[cfg(test)]
mod tests {
    use std::io;

    use rustls::{AlertDescription, CertificateError, InvalidMessage};

    use super::*;
    use crate::failure::Failure;

    #[test]
    fn certificate_alert_and_protocol_are_told_apart() {
        let wrong: Vec<_> = [
            (Error::InvalidCertificate(CertificateError::UnknownIssuer), FailureKind::TlsCertificateError),
            (Error::NoCertificatesPresented, FailureKind::TlsCertificateError),
            (Error::AlertReceived(AlertDescription::HandshakeFailure), FailureKind::TlsAlertReceived),
            (Error::InvalidMessage(InvalidMessage::InvalidContentType), FailureKind::TlsProtocolError),
            (Error::DecryptError, FailureKind::TlsProtocolError),
        ]
        .into_iter()
        .map(|(error, expected)| {
            let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error));
            let failure = Failure::from_error(wrapped);
            (failure.private_chain().to_string(), failure.kind(), failure.phase(), expected)
        })
        .filter(|(_, kind, phase, expected)| kind != expected || *phase != Phase::Tls)
        .collect();
        assert!(wrong.is_empty(), "(error, kind, phase, expected): {wrong:?}");
    }

    #[test]
    fn a_body_that_tls_broke_is_a_body_that_broke() {
        let failure = Failure::from_body_error(io::Error::new(io::ErrorKind::InvalidData, Error::DecryptError));
        assert_eq!((failure.kind(), failure.phase()), (FailureKind::TlsProtocolError, Phase::ResponseBody));
    }

    #[test]
    fn the_number_of_the_alert_is_kept() {
        let alert = Error::AlertReceived(AlertDescription::HandshakeFailure);
        let failure = Failure::from_error(io::Error::new(io::ErrorKind::InvalidData, alert));
        assert_eq!(failure.parameters(), [Parameter::AlertId(40)]);
    }
}
