//! Login at an identity provider: OpenID Connect Core 1.0, authorization code flow, with PKCE (RFC 7636), state and
//! nonce.

use sha2::{Digest, Sha256};
use waggle_core::id::{AgentId, TenantId};
use waggle_core::limits::NAME_BYTES_MAX;
use waggle_core::name::Name;

use super::login::{Client, LoginError, Opened};
use super::provider::{Flow, Identified, LoginSettings, Provider, ProviderError, Strangers};
use super::{Auth, AuthStats};
use crate::directory::{SecretKind, Token, push_base64url};
use crate::store::{AuditActor, AuditEntry, Method, StoreError};

/// Why nobody is let in by OpenID Connect.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// It is not configured.
    #[error("login by OpenID Connect is not configured")]
    Off,
    /// Nothing was begun here, in this browser, in time; or it is finished already.
    #[error("this login was not begun in this browser, or is over")]
    NoFlow,
    /// The provider says no.
    #[error("the identity provider refuses: {0}")]
    Refused(String),
    /// Nobody here is who it means.
    #[error("no agent is linked to this identity")]
    NoAgent,
    /// The provider.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// As with any login.
    #[error(transparent)]
    Login(#[from] LoginError),
}

impl From<StoreError> for OidcError {
    fn from(error: StoreError) -> Self {
        Self::Login(error.into())
    }
}

/// A login that has begun.
#[derive(Debug)]
pub struct Begun {
    /// Where the browser goes.
    pub url: String,
    /// For its cookie, by which it is known again.
    pub browser: Token,
}

/// What a browser brings back from the provider.
#[derive(Debug)]
pub struct Callback<'a> {
    /// What ties it to what was begun.
    pub state: &'a str,
    /// What is exchanged for an ID token, or else what the provider calls its refusal.
    pub outcome: Result<&'a str, &'a str>,
    /// Who says so, where it does (RFC 9207).
    pub issuer: Option<&'a str>,
    /// The cookie.
    pub browser: &'a str,
}

impl Auth {
    fn provider(&self) -> Result<(&Provider, &LoginSettings), OidcError> {
        let provider = self.provider.as_deref().ok_or(OidcError::Off)?;
        provider.login().map(|settings| (provider, settings)).ok_or(OidcError::Off)
    }

    /// Begins a login; `return_to` is the path here at which the browser ends.
    ///
    /// # Errors
    /// Where it is not configured, the provider is not there, or the source has begun too many.
    pub fn begin_oidc(&self, return_to: &str, client: &Client) -> Result<Begun, OidcError> {
        let (provider, settings) = self.provider()?;
        let secret = || {
            let made = Token::make_for(SecretKind::Flow);
            made.map_err(|error| StoreError::Random(error.to_string()))
        };
        let (state, nonce, verifier, browser) = (secret()?, secret()?, secret()?, secret()?);
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("response_type", "code")
            .append_pair("client_id", &settings.client_id)
            .append_pair("redirect_uri", &settings.redirect_url)
            .append_pair("scope", &settings.scopes)
            .append_pair("state", state.reveal())
            .append_pair("nonce", nonce.reveal())
            .append_pair("code_challenge", &challenge(verifier.reveal()))
            .append_pair("code_challenge_method", "S256")
            .finish();
        let url = provider.authorization_url(&query)?;
        let flow = Flow {
            browser: browser.hash(),
            verifier: verifier.reveal().to_owned(),
            nonce: nonce.reveal().to_owned(),
            return_to: return_to.to_owned(),
        };
        provider.flows.begin(state.reveal(), flow, client.address).map_err(|ms| {
            AuthStats::count(&self.stats.throttled);
            LoginError::Shut { retry_after_s: ms.div_ceil(1_000), is_source: true }
        })?;
        Ok(Begun { url, browser })
    }

    /// Finishes a login with what the browser has brought; gives the session, and where the browser goes.
    ///
    /// # Errors
    /// Where nobody is let in.
    pub async fn finish_oidc(
        &self,
        callback: Callback<'_>,
        client: Client,
    ) -> Result<(Opened, String), OidcError> {
        let (provider, settings) = self.provider()?;
        let flow = provider.flows.finish(callback.state, callback.browser).ok_or(OidcError::NoFlow)?;
        // The code of one provider is not shown to another.
        if callback.issuer.is_some_and(|issuer| issuer != provider.issuer()) {
            return Err(OidcError::NoFlow);
        }
        let tenant = self.directory.tenant_named(provider.tenant()).ok_or(OidcError::NoAgent)?;
        let code = callback.outcome.map_err(|error| {
            self.oidc_failed(tenant, &client, None);
            OidcError::Refused(shown(error))
        })?;
        let identified = provider.exchange(settings, code, &flow).await.inspect_err(|error| {
            tracing::warn!(%error, "a login at the identity provider came to nothing");
            self.oidc_failed(tenant, &client, None);
        })?;
        let agent = self.agent(provider, settings, tenant, &identified, &client).await?;
        let device = self.known_device((tenant, agent), &client.devices).await?;
        let opened = self.open(tenant, agent, Method::Oidc, client, device).await?;
        Ok((opened, flow.return_to))
    }

    /// The agent whom the provider means.
    async fn agent(
        &self,
        provider: &Provider,
        settings: &LoginSettings,
        tenant: TenantId,
        identified: &Identified,
        client: &Client,
    ) -> Result<AgentId, OidcError> {
        let Identified { subject, name } = identified;
        let issuer = provider.issuer();
        if let Some(agent) = self.directory.agent_of_identity(tenant, issuer, subject) {
            return Ok(agent);
        }
        if settings.strangers == Strangers::Refused {
            self.oidc_failed(tenant, client, Some(subject));
            return Err(OidcError::NoAgent);
        }
        let Ok(name) = Name::parse(&agent_name(name.as_deref().unwrap_or(subject))) else {
            self.oidc_failed(tenant, client, Some(subject));
            return Err(OidcError::NoAgent);
        };
        let audit = AuditEntry::new(tenant, AuditActor::System, "agent.provisioned", "agent")
            .with("issuer", issuer)
            .with("subject", subject.as_str());
        match self.store.provision_agent(tenant, name.as_str(), issuer, subject, audit).await {
            Ok(agent) => {
                self.directory.refresh(self.store.as_ref()).await?;
                Ok(agent)
            }
            // A name is no proof: whoever has it already is linked by an administrator, or not at all.
            Err(StoreError::NameTaken { .. }) => {
                self.oidc_failed(tenant, client, Some(subject));
                Err(OidcError::NoAgent)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn oidc_failed(&self, tenant: TenantId, client: &Client, subject: Option<&str>) {
        AuthStats::count(&self.stats.failed);
        let mut entry = AuditEntry::new(tenant, AuditActor::Nobody, "login.failed", "agent:?")
            .with("method", Method::Oidc.name())
            .with("address", client.address.to_string());
        if let Some(subject) = subject {
            entry = entry.with("subject", subject);
        }
        self.audit_failure(entry);
    }
}

/// RFC 7636 section 4.2.
fn challenge(verifier: &str) -> String {
    let mut text = String::new();
    push_base64url(&mut text, &Sha256::digest(verifier.as_bytes()));
    text
}

/// What the provider calls its refusal, as far as RFC 6749 section 4.1.2.1 allows names.
fn shown(error: &str) -> String {
    error.chars().filter(|found| found.is_ascii_alphanumeric() || *found == '_').take(40).collect()
}

fn agent_name(wanted: &str) -> String {
    let mut name: String = wanted.trim().chars().filter(|found| !found.is_control()).collect();
    name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_the_hash_of_its_verifier() {
        // RFC 7636, appendix B.
        let wanted = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert_eq!(challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"), wanted);
    }

    #[test]
    fn what_the_provider_says_is_not_believed_to_be_harmless() {
        assert_eq!(shown("access_denied"), "access_denied");
        assert_eq!(shown("<script>alert(1)</script>"), "scriptalert1script");
        assert_eq!(agent_name(" a\u{0}na\n"), "ana");
        assert_eq!(agent_name(&"\u{1f41d}".repeat(100)).len(), NAME_BYTES_MAX);
    }
}
