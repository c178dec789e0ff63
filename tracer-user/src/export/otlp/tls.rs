//! Certificates and keys for the connection to the endpoint, read once at the start.

use std::path::Path;

use crate::export::Error;
use crate::export::settings::Otlp;

/// The PEM texts that the settings name.
#[derive(Default)]
pub(super) struct Pem {
    /// Authorities to trust instead of the system's.
    pub authorities: Option<Vec<u8>>,
    /// Own certificate chain and key.
    pub identity: Option<Identity>,
}

/// Who we are to the endpoint.
pub(super) struct Identity {
    pub certificate: Vec<u8>,
    pub key: Vec<u8>,
}

impl Pem {
    pub(super) fn read(settings: &Otlp) -> Result<Self, Error> {
        let authorities = settings.certificate.as_deref().map(read).transpose()?;
        let identity = match (&settings.client_certificate, &settings.client_key) {
            (Some(certificate), Some(key)) => Some(Identity {
                certificate: read(certificate)?,
                key: read(key)?,
            }),
            (None, None) => None,
            _ => return Err(Error::HalfIdentity),
        };
        Ok(Pem {
            authorities,
            identity,
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Certificate {
        path: path.to_owned(),
        reason: source.to_string(),
    })
}
