//! Whose certificates are good, here and in the gateways of the demonstration.

use std::{error::Error, path::Path, sync::Arc};

use hyper_rustls::ConfigBuilderExt;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

#[derive(Clone, Copy)]
pub(crate) enum Trust<'a> {
    /// Those of a PEM file.
    File(&'a Path),
    /// This one.
    One(&'a CertificateDer<'static>),
    /// What the system trusts.
    System,
}

pub(crate) fn config(trust: Trust<'_>) -> Result<ClientConfig, Box<dyn Error>> {
    // The provider is named: a second one in the build must not decide.
    let provider = Arc::new(ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut roots = RootCertStore::empty();
    match trust {
        Trust::System => return Ok(tls.with_native_roots()?.with_no_client_auth()),
        Trust::One(certificate) => roots.add(certificate.clone())?,
        Trust::File(file) => {
            let wrong = |error: Box<dyn Error>| format!("cannot read certificates from {}: {error}", file.display());
            read(file, &mut roots).map_err(wrong)?;
        }
    }
    Ok(tls.with_root_certificates(roots).with_no_client_auth())
}

fn read(file: &Path, roots: &mut RootCertStore) -> Result<(), Box<dyn Error>> {
    for certificate in CertificateDer::pem_file_iter(file)? {
        roots.add(certificate?)?;
    }
    if roots.is_empty() { Err("there is none in it".into()) } else { Ok(()) }
}
