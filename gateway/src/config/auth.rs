//! How people are let in.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ConfigError, range};
use crate::auth::{LoginSettings, ProviderSettings, SessionRules, Strangers, algorithms, check_address};

/// See `Config::auth`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthConfig {
    /// Minutes without use after which a session ends.
    pub session_idle_minutes: u32,
    /// Hours after which it ends in any case.
    pub session_hours: u32,
    /// The identity provider.
    pub provider: ProviderConfig,
}

/// See [`AuthConfig::provider`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// Its name and address; empty is no provider.
    pub issuer: String,
    /// The tenant whose agents it lets in.
    pub tenant: String,
    /// The claim that agents are known by.
    pub claim: String,
    /// What its tokens may be signed by.
    pub algorithms: Vec<String>,
    /// Where its keys are.
    pub jwks_url: Option<String>,
    /// Of tokens that are taken as API tokens.
    pub audience: Option<String>,
    /// This gateway's name at the provider.
    pub client_id: Option<String>,
    /// A file with what it proves to be that with.
    pub client_secret_file: Option<PathBuf>,
    /// Where browsers come back to.
    pub redirect_url: Option<String>,
    /// What is asked for.
    pub scopes: String,
    /// Whether somebody who is no agent becomes one.
    pub provision: bool,
    /// Certificate authorities besides the system's.
    pub ca_file: Option<PathBuf>,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self { session_idle_minutes: 8 * 60, session_hours: 7 * 24, provider: ProviderConfig::default() }
    }
}

impl Default for ProviderConfig {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            tenant: String::new(),
            claim: "sub".to_owned(),
            algorithms: ["RS256", "ES256"].map(str::to_owned).to_vec(),
            jwks_url: None,
            audience: None,
            client_id: None,
            client_secret_file: None,
            redirect_url: None,
            scopes: "openid email profile".to_owned(),
            provision: false,
            ca_file: None,
        }
    }
}

impl AuthConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        range("auth.session_idle_minutes", self.session_idle_minutes.into(), 5, 43_200)?;
        range("auth.session_hours", self.session_hours.into(), 1, 8_760)?;
        self.provider.check()
    }

    /// How long sessions last.
    #[must_use]
    pub fn sessions(&self) -> SessionRules {
        SessionRules {
            idle_ms: u64::from(self.session_idle_minutes) * 60_000,
            lasts_ms: u64::from(self.session_hours) * 3_600_000,
        }
    }
}

impl ProviderConfig {
    fn check(&self) -> Result<(), ConfigError> {
        if self.issuer.is_empty() {
            return Ok(());
        }
        let wrong = |key, value: &str, wanted: &str| {
            Err(ConfigError::Range { key, value: format!("{value:?}"), wanted: wanted.to_owned() })
        };
        let urls = [
            ("auth.provider.issuer", Some(&self.issuer)),
            ("auth.provider.jwks_url", self.jwks_url.as_ref()),
            ("auth.provider.redirect_url", self.redirect_url.as_ref()),
        ];
        for (key, url) in urls {
            if let Some(url) = url.filter(|url| check_address(url).is_err()) {
                return wrong(key, url, "an address https://…; http:// only on this machine");
            }
        }
        if let Err(name) = algorithms(&self.algorithms) {
            let wanted = "some of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA";
            return wrong("auth.provider.algorithms", &name, wanted);
        }
        if self.tenant.is_empty() || self.claim.is_empty() {
            let wanted = "a tenant's name, and the claim that agents are known by";
            return wrong("auth.provider.tenant or claim", "", wanted);
        }
        if self.client_id.is_some() != self.redirect_url.is_some() {
            let key = "auth.provider.client_id and redirect_url";
            return wrong(key, "one of two", "both of them, or none");
        }
        if !self.scopes.split(' ').any(|scope| scope == "openid") {
            return wrong("auth.provider.scopes", &self.scopes, "openid among them");
        }
        Ok(())
    }

    /// The provider, where there is one.
    ///
    /// # Errors
    /// Where the client's secret cannot be read.
    pub fn settings(&self) -> io::Result<Option<ProviderSettings>> {
        if self.issuer.is_empty() {
            return Ok(None);
        }
        let read = |path: &PathBuf| {
            let named =
                |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
            std::fs::read_to_string(path).map_err(named)
        };
        let secret = self.client_secret_file.as_ref().map(read).transpose()?;
        let login = self.client_id.clone().zip(self.redirect_url.clone());
        let strangers = if self.provision { Strangers::Provisioned } else { Strangers::Refused };
        let login = login.map(|(client_id, redirect_url)| LoginSettings {
            client_id,
            client_secret: secret.as_deref().map(str::trim_end).map(Into::into),
            redirect_url,
            scopes: self.scopes.clone(),
            strangers,
        });
        Ok(Some(ProviderSettings {
            issuer: self.issuer.clone(),
            tenant: self.tenant.clone(),
            claim: self.claim.clone(),
            // They were checked when they were read.
            algorithms: algorithms(&self.algorithms).unwrap_or_default(),
            jwks_url: self.jwks_url.clone(),
            audience: self.audience.clone(),
            login,
            roots: self.ca_file.clone(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_checked_before_the_gateway_starts() {
        let good = || ProviderConfig {
            issuer: "https://id.example".to_owned(),
            tenant: "acme".to_owned(),
            ..ProviderConfig::default()
        };
        assert!(good().check().is_ok() && ProviderConfig::default().check().is_ok());
        let text = |text: &str| Some(text.to_owned());
        let list = |text: &str| vec![text.to_owned()];
        for (wrong, key) in [
            (ProviderConfig { issuer: "http://id.example".to_owned(), ..good() }, "issuer"),
            (ProviderConfig { jwks_url: text("ftp://x"), ..good() }, "jwks_url"),
            (ProviderConfig { algorithms: list("none"), ..good() }, "algorithms"),
            (ProviderConfig { algorithms: list("HS256"), ..good() }, "algorithms"),
            (ProviderConfig { algorithms: Vec::new(), ..good() }, "algorithms"),
            (ProviderConfig { tenant: String::new(), ..good() }, "tenant"),
            (ProviderConfig { client_id: text("waggle"), ..good() }, "client_id"),
            (ProviderConfig { scopes: "email".to_owned(), ..good() }, "scopes"),
        ] {
            let error = wrong.check().unwrap_err().to_string();
            assert!(error.contains(key) && error.contains("expected"), "{error}");
        }
    }
}
