//! From a password to a session.

use std::net::IpAddr;
use std::sync::Arc;

use waggle_core::id::{AgentId, TenantId};
use waggle_core::time::Timestamp;

use super::doors::{Door, Passage, Shut};
use super::hasher::{Busy, Line};
use super::password::{HashError, Password, WeakPassword, is_outdated};
use super::{Account, Auth, AuthStats};
use crate::directory::{Credential, Principal, SecretKind, Token};
use crate::store::{
    AuditActor, AuditEntry, Keep, Method, NewSession, PasswordKind, PasswordRow, SessionRow, StoreError,
};
pub(super) use crate::wall_clock::now;

/// What somebody wants to be let in with.
#[derive(Debug)]
pub struct LoginRequest<'a> {
    /// The tenant's name.
    pub tenant: &'a str,
    /// The agent's name.
    pub name: &'a str,
    /// Its password.
    pub password: Password,
    /// What is to be its password from now on.
    pub new_password: Option<Password>,
}

/// Where somebody wants to be let in from.
#[derive(Debug)]
pub struct Client {
    /// The client's address.
    pub address: IpAddr,
    /// Hashes of the secrets of devices that it shows.
    pub devices: Vec<[u8; 32]>,
    /// What it calls itself.
    pub name: String,
    /// The session that this browser has: it ends with a new one, so that nobody is let in with a secret that was
    /// there before.
    pub replaces: Option<u64>,
}

/// A session that was opened.
#[derive(Debug)]
pub struct Opened {
    /// What it is.
    pub session: SessionRow,
    /// Its secret, for its cookie.
    pub secret: Token,
    /// The secret of its device, for a cookie, where it was not known before.
    pub device: Option<Token>,
}

/// Why somebody is not let in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// One of them; which one, nobody is told.
    #[error("tenant, name or password is wrong")]
    Wrong,
    /// Too many have failed before.
    #[error("too many logins have failed; this one was not tried")]
    Shut {
        /// Seconds until one is tried again.
        retry_after_s: u64,
        /// Whether it is the source that has failed too often.
        is_source: bool,
    },
    /// Somebody else has chosen the password.
    #[error("the password was chosen by somebody else: give your own as new_password")]
    ChangeRequired,
    /// The new password is none.
    #[error(transparent)]
    Weak(#[from] WeakPassword),
    /// Too many are under way.
    #[error("too many logins are under way")]
    Busy,
    /// Of the system.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// Of storage.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Busy> for LoginError {
    fn from(_: Busy) -> Self {
        Self::Busy
    }
}

impl Auth {
    /// Lets an agent in by its password. How long it takes does not tell whether tenant and agent exist.
    ///
    /// # Errors
    /// Where it is not let in.
    pub async fn login(&self, request: LoginRequest<'_>, client: Client) -> Result<Opened, LoginError> {
        let tenant = self.directory.tenant_named(request.tenant);
        let agent =
            tenant.and_then(|tenant| Some((tenant, self.directory.agent_named(tenant, request.name)?)));
        let account = match agent {
            Some((tenant, agent)) => Account::Agent(tenant, agent),
            None => Account::Nobody(request.tenant, request.name),
        };
        // What does not exist is looked up all the same. Tenants and agents are numbered from 1.
        let looked_up = agent.unwrap_or((tenant.unwrap_or(TenantId(0)), AgentId(0)));
        let device = self.known_device(looked_up, &client.devices).await?;
        let (door, line) = match &device {
            Some(device) => (self.doors.for_device(looked_up.0, looked_up.1, device), Line::Known),
            None => (self.doors.for_strangers(&account, client.address), Line::Strangers),
        };
        let passage = self.doors.begin(door).map_err(|shut| self.shut(shut))?;
        let found = self.store.password(looked_up.0, looked_up.1).await;
        let found = found.inspect_err(|_| self.doors.take_back(door))?;
        let hash = found.as_ref().map_or_else(|| self.nobody.clone(), |row| row.hash.clone());
        let password = Arc::new(request.password);
        let is_right = self.verify(door, line, &password, hash).await?;
        let (Some((tenant, agent)), Some(found), true) = (agent, found, is_right) else {
            self.failed(tenant, agent.map(|(_, agent)| agent), passage, client.address);
            return Err(LoginError::Wrong);
        };
        self.doors.passed(door);
        self.renew(tenant, agent, found, password, request.new_password).await?;
        self.open(tenant, agent, Method::Password, client, device).await
    }

    async fn verify(
        &self,
        door: Door,
        line: Line,
        password: &Arc<Password>,
        hash: String,
    ) -> Result<bool, LoginError> {
        if password.is_absurd() {
            return Ok(false);
        }
        AuthStats::count(&self.stats.compared);
        let verified = self.hasher.verify(line, Arc::clone(password), hash).await;
        Ok(verified.inspect_err(|_| {
            AuthStats::count(&self.stats.busy);
            self.doors.take_back(door);
        })?)
    }

    /// The first of the devices that has logged in to this account before.
    pub(super) async fn known_device(
        &self,
        (tenant, agent): (TenantId, AgentId),
        devices: &[[u8; 32]],
    ) -> Result<Option<[u8; 32]>, StoreError> {
        for device in devices {
            if self.store.knows_device(tenant, agent, *device).await? {
                return Ok(Some(*device));
            }
        }
        Ok(None)
    }

    fn shut(&self, shut: Shut) -> LoginError {
        AuthStats::count(&self.stats.throttled);
        LoginError::Shut { retry_after_s: shut.ms.div_ceil(1_000), is_source: shut.is_source }
    }

    /// Tells the audit log, without what was typed: a password is typed as a name now and then.
    fn failed(&self, tenant: Option<TenantId>, agent: Option<AgentId>, passage: Passage, address: IpAddr) {
        AuthStats::count(&self.stats.failed);
        let Some(tenant) = tenant else {
            tracing::info!(%address, "a login to a tenant that does not exist has failed");
            return;
        };
        let object = agent.map_or_else(|| "agent:?".to_owned(), |agent| format!("agent:{agent}"));
        let entry = |action| {
            AuditEntry::new(tenant, AuditActor::Nobody, action, &object).with("address", address.to_string())
        };
        self.audit_failure(entry("login.failed"));
        if passage == Passage::Last {
            self.audit_failure(entry("login.locked"));
        }
    }

    /// Sets a new password where one is given or needed, and a new hash where the old one is outdated.
    async fn renew(
        &self,
        tenant: TenantId,
        agent: AgentId,
        found: PasswordRow,
        password: Arc<Password>,
        fresh: Option<Password>,
    ) -> Result<(), LoginError> {
        match fresh {
            Some(fresh) => self.set_own(tenant, agent, Arc::new(fresh), Keep::Nothing).await,
            None if found.kind == PasswordKind::Temporary => Err(LoginError::ChangeRequired),
            None if is_outdated(&found.hash) => {
                let hash = self.hasher.hash(password).await??;
                Ok(self.store.rehash_password(tenant, agent, &found.hash, &hash).await?)
            }
            None => Ok(()),
        }
    }

    /// Changes one's own password; all sessions but this one end.
    ///
    /// # Errors
    /// Where the old one is wrong, or the new one none.
    pub async fn change_password(
        &self,
        principal: Principal,
        old: Password,
        new: Password,
        address: IpAddr,
    ) -> Result<(), LoginError> {
        let Principal { tenant, agent, .. } = principal;
        // Whoever has got hold of a session does not guess the password by it.
        let door = self.doors.for_device(tenant, agent, &[0; 32]);
        let passage = self.doors.begin(door).map_err(|shut| self.shut(shut))?;
        let found = self.store.password(tenant, agent).await.inspect_err(|_| self.doors.take_back(door))?;
        let hash = found.map_or_else(|| self.nobody.clone(), |row| row.hash);
        if !self.verify(door, Line::Known, &Arc::new(old), hash).await? {
            self.failed(Some(tenant), Some(agent), passage, address);
            return Err(LoginError::Wrong);
        }
        self.doors.passed(door);
        let keep = match principal.credential {
            Credential::Session(session) => Keep::Session(session),
            Credential::Token(_) | Credential::Provider => Keep::Nothing,
        };
        self.set_own(tenant, agent, Arc::new(new), keep).await
    }

    async fn set_own(
        &self,
        tenant: TenantId,
        agent: AgentId,
        password: Arc<Password>,
        keep: Keep,
    ) -> Result<(), LoginError> {
        let names = self.directory.agents(tenant);
        let name = names.iter().find(|row| row.id == agent).map_or("", |row| row.name.as_str());
        password.check_new(name)?;
        let hash = self.hasher.hash(password).await??;
        let row = PasswordRow { hash, kind: PasswordKind::Own };
        let audit =
            AuditEntry::new(tenant, AuditActor::Agent(agent), "password.changed", format!("agent:{agent}"));
        self.store.set_password(tenant, agent, row, keep, audit).await?;
        self.directory.refresh(self.store.as_ref()).await?;
        Ok(())
    }

    /// Gives an agent a password that it has to change; its sessions end.
    ///
    /// # Errors
    /// Where there is no such agent, or of the system.
    pub async fn reset_password(
        &self,
        tenant: TenantId,
        agent: AgentId,
        actor: AuditActor,
    ) -> Result<Token, LoginError> {
        let temporary = Token::make_for(SecretKind::Password).map_err(random)?;
        let hash = self.hasher.hash(Arc::new(Password::new(temporary.reveal().to_owned()))).await??;
        let row = PasswordRow { hash, kind: PasswordKind::Temporary };
        let audit = AuditEntry::new(tenant, actor, "password.reset", format!("agent:{agent}"));
        self.store.set_password(tenant, agent, row, Keep::Nothing, audit).await?;
        self.directory.refresh(self.store.as_ref()).await?;
        Ok(temporary)
    }

    /// Opens a session for an agent who has proved to be it. `device` is the one of its devices that is known
    /// already.
    pub(super) async fn open(
        &self,
        tenant: TenantId,
        agent: AgentId,
        method: Method,
        client: Client,
        device: Option<[u8; 32]>,
    ) -> Result<Opened, LoginError> {
        let secret = Token::make_for(SecretKind::Session).map_err(random)?;
        let fresh = match device {
            Some(_) => None,
            None => Some(Token::make_for(SecretKind::Device).map_err(random)?),
        };
        let audit = AuditEntry::new(tenant, AuditActor::Agent(agent), "login.ok", format!("agent:{agent}"))
            .with("method", method.name())
            .with("address", client.address.to_string());
        let session = NewSession {
            tenant,
            agent,
            hash: secret.hash(),
            method,
            client: client.name,
            idle_ms: self.rules.idle_ms,
            expires_at: Timestamp(now().0.saturating_add(self.rules.lasts_ms)),
            device: fresh.as_ref().map(Token::hash),
        };
        let session = self.store.open_session(session, client.replaces, audit).await?;
        self.directory.refresh(self.store.as_ref()).await?;
        AuthStats::count(&self.stats.logins);
        Ok(Opened { session, secret, device: fresh })
    }

    /// Ends one of an agent's sessions; false where it has no such session.
    ///
    /// # Errors
    /// As storage tells them.
    pub async fn end_session(
        &self,
        principal: Principal,
        session: u64,
        action: &'static str,
    ) -> Result<bool, StoreError> {
        let Principal { tenant, agent, .. } = principal;
        let audit = AuditEntry::new(tenant, AuditActor::Agent(agent), action, format!("session:{session}"));
        let ended = self.store.end_session(tenant, agent, session, audit).await?;
        self.directory.refresh(self.store.as_ref()).await?;
        Ok(ended)
    }
}

fn random(error: getrandom::Error) -> LoginError {
    LoginError::Store(StoreError::Random(error.to_string()))
}
