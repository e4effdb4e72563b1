//! TLS for the API's and the push engine's listeners, with certificates that can be replaced while the
//! gateway runs.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ProducesTickets;

/// Why files are no certificate and key to serve with.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that cannot be read.
    #[error("{what} {} cannot be read", path.display())]
    Read {
        /// Which of the two.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file that holds nothing of the kind.
    #[error("{what} {} is not in PEM form, or has none in it", path.display())]
    Pem {
        /// Which of the two.
        what: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// Two files that do not go together.
    #[error("{} and {} do not go together: {why}", certificate.display(), key.display())]
    Pair {
        /// The chain.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// What rustls says.
        why: String,
    },
    /// The system gives no random bytes.
    #[error("no key for session tickets can be made: {0}")]
    Tickets(String),
}

/// A certificate chain with its key, as listeners serve it now. Clones share it.
#[derive(Clone)]
pub struct Tls {
    shared: Arc<Shared>,
}

struct Shared {
    certificate: PathBuf,
    key: PathBuf,
    current: ArcSwap<ServerConfig>,
    /// The files' bytes that were last looked at, good or not.
    seen: Mutex<Files>,
    /// Kept over reloads, so that sessions resume.
    tickets: Arc<dyn ProducesTickets>,
    not_after_s: AtomicU64,
    failures: AtomicU64,
}

#[derive(PartialEq, Eq)]
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// Reads a chain (PEM, the server's own certificate first) and its key (PEM).
    ///
    /// # Errors
    /// Says which file is wrong and how.
    pub fn open(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let tickets = aws_lc_rs::Ticketer::new().map_err(|error| TlsError::Tickets(error.to_string()))?;
        let files = Files::read(certificate, key)?;
        let (config, not_after_s) = files.to_config(certificate, key, &tickets)?;
        let shared = Shared {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            current: ArcSwap::from_pointee(config),
            seen: Mutex::new(files),
            tickets,
            not_after_s: AtomicU64::new(not_after_s),
            failures: AtomicU64::new(0),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// What new connections are served with.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        self.shared.current.load_full()
    }

    /// Looks at the files again, and serves new connections with what is in them where it is new. Returns
    /// whether it was.
    ///
    /// # Errors
    /// Says what is wrong with the new files. What was served before is served still, and the same files
    /// are an error only once.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let shared = &self.shared;
        let outcome = Files::read(&shared.certificate, &shared.key).and_then(|files| {
            let mut seen = shared.seen.lock();
            if *seen == files {
                return Ok(false);
            }
            let made = files.to_config(&shared.certificate, &shared.key, &shared.tickets);
            *seen = files;
            let (config, not_after_s) = made?;
            shared.current.store(Arc::new(config));
            shared.not_after_s.store(not_after_s, Ordering::Relaxed);
            Ok(true)
        });
        if outcome.is_err() {
            shared.failures.fetch_add(1, Ordering::Relaxed);
        }
        outcome
    }

    /// When the certificate served now ends: seconds since 1970.
    #[must_use]
    pub fn not_after_s(&self) -> u64 {
        self.shared.not_after_s.load(Ordering::Relaxed)
    }

    /// How often a reload has failed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.shared.failures.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("certificate", &self.shared.certificate).finish_non_exhaustive()
    }
}

impl Files {
    fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let read = |what, path: &Path| {
            std::fs::read(path).map_err(|source| TlsError::Read { what, path: path.to_owned(), source })
        };
        Ok(Self { certificate: read("the certificate", certificate)?, key: read("the key", key)? })
    }

    fn to_config(
        &self,
        certificate: &Path,
        key: &Path,
        tickets: &Arc<dyn ProducesTickets>,
    ) -> Result<(ServerConfig, u64), TlsError> {
        let no_chain = || TlsError::Pem { what: "the certificate", path: certificate.to_owned() };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<_, _>>()
            .map_err(|_| no_chain())?;
        let own = chain.first().ok_or_else(no_chain)?;
        let (_, parsed) = x509_parser::parse_x509_certificate(own).map_err(|_| no_chain())?;
        let not_after_s = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or_default();
        let private = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| TlsError::Pem { what: "the key", path: key.to_owned() })?;
        let pair = |error: rustls::Error| TlsError::Pair {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            why: error.to_string(),
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(pair)?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .map_err(pair)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.ticketer = Arc::clone(tickets);
        // A client resumes one connection, not two.
        config.send_tls13_tickets = 1;
        Ok((config, not_after_s))
    }
}

/// How a test's own server on `localhost` speaks TLS, and its certificate in PEM form.
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
pub(crate) fn self_signed() -> (tokio_rustls::TlsAcceptor, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (Arc::new(config).into(), made.cert.pem())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dir(tempfile::TempDir);

    impl Dir {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn certificate(&self) -> PathBuf {
            self.0.path().join("tls.crt")
        }

        fn key(&self) -> PathBuf {
            self.0.path().join("tls.key")
        }

        /// New files; returns the certificate's bytes.
        fn renew(&self) -> Vec<u8> {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            std::fs::write(self.certificate(), made.cert.pem()).unwrap();
            std::fs::write(self.key(), made.signing_key.serialize_pem()).unwrap();
            made.cert.der().to_vec()
        }

        fn open(&self) -> Result<Tls, TlsError> {
            Tls::open(&self.certificate(), &self.key())
        }
    }

    #[test]
    fn files_that_do_not_serve_are_named() {
        let dir = Dir::new();
        let said = |dir: &Dir| dir.open().unwrap_err().to_string();
        assert!(said(&dir).starts_with("the certificate ") && said(&dir).ends_with("tls.crt cannot be read"));
        dir.renew();
        let other = Dir::new();
        other.renew();
        std::fs::copy(other.key(), dir.key()).unwrap();
        assert!(said(&dir).contains("do not go together"), "{}", said(&dir));
        std::fs::write(dir.key(), "no key").unwrap();
        assert!(said(&dir).ends_with("tls.key is not in PEM form, or has none in it"));
        std::fs::write(dir.certificate(), "").unwrap();
        assert!(said(&dir).starts_with("the certificate "));
    }

    #[test]
    fn a_reload_takes_good_files_and_leaves_bad_ones() {
        let dir = Dir::new();
        dir.renew();
        let tls = dir.open().unwrap();
        let first = tls.config();
        assert!(!tls.reload().unwrap() && Arc::ptr_eq(&first, &tls.config()));
        assert!(tls.not_after_s() > 0);

        std::fs::write(dir.key(), "cut off").unwrap();
        assert!(tls.reload().is_err() && Arc::ptr_eq(&first, &tls.config()));
        assert!(!tls.reload().unwrap(), "the same bad files are an error once");
        assert_eq!(tls.failures(), 1);

        dir.renew();
        assert!(tls.reload().unwrap() && !Arc::ptr_eq(&first, &tls.config()));
    }
}
