//! TLS to a gateway or a proxy in front of it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Why there is nobody to trust.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// A file of certificates that cannot be taken.
    #[error("{} has no certificates to trust: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A system without certificates.
    #[error("this system has no certificates of authorities (Debian's ca-certificates); name a file of them")]
    System,
}

/// Whom a client trusts. Cheap to clone.
#[derive(Clone)]
pub struct Trust(TlsConnector);

impl Trust {
    /// The system's authorities.
    ///
    /// # Errors
    /// Where it has none.
    pub fn system() -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() { Err(TrustError::System) } else { Self::new(roots) }
    }

    /// The authorities in a file (PEM), and no others.
    ///
    /// # Errors
    /// Where it cannot be read, or has none.
    pub fn file(path: &Path) -> Result<Self, TrustError> {
        let wrong = |why: String| TrustError::File { path: path.to_owned(), why };
        let mut roots = RootCertStore::empty();
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
        if roots.is_empty() { Err(wrong("there is none in PEM form".to_owned())) } else { Self::new(roots) }
    }

    fn new(roots: RootCertStore) -> Result<Self, TrustError> {
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            // The provider has the suites of both versions.
            .map_err(|_| TrustError::System)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Makes a connection secret, where the other end proves to be `host`.
    ///
    /// # Errors
    /// Where it does not, or does not speak TLS.
    pub async fn secure(&self, host: &str, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
        self.0.connect(name, stream).await
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trust")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_without_certificates_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        assert!(matches!(Trust::file(&path), Err(TrustError::File { .. })));
        std::fs::write(&path, "hello").unwrap();
        assert!(Trust::file(&path).unwrap_err().to_string().contains("ca.pem has no certificates to trust"));
    }
}
