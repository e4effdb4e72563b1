//! `waggle serve --demo`: a tenant to try things with, the same on every start.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use waggle_core::id::{AgentId, QueueId, TenantId};
use waggle_core::time::Timestamp;

use crate::app::App;
use crate::directory::{Directory, Token};
use crate::store::{ADMIN_ROLE, AuditActor, Grantee, PeopleError, PeopleRefusal, Scope, Store};

const TENANT: &str = "demo";
const QUEUES: [&str; 2] = ["support", "billing"];
const AGENTS: [&str; 2] = ["ana", "ben"];

/// What there is to try; as `demo.json` (mode 0600) keeps it, because tokens are not stored elsewhere.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Demo {
    pub(super) tenant: Named<TenantId>,
    pub(super) queues: Vec<Named<QueueId>>,
    pub(super) agents: Vec<DemoAgent>,
    pub(super) admin: DemoAdmin,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Named<Id> {
    pub(super) id: Id,
    pub(super) name: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DemoAgent {
    pub(super) id: AgentId,
    pub(super) name: String,
    pub(super) token: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DemoAdmin {
    pub(super) token: String,
}

/// The demo of an earlier start where its tokens still work, else a new one.
pub(super) async fn prepare(app: &App) -> anyhow::Result<Demo> {
    let file = app.dir().demo();
    if let Some(demo) = read(&file)
        && still_works(&demo, app.directory())
    {
        return Ok(demo);
    }
    let demo = make(app.store()).await.context("cannot make the demo's tenant")?;
    write(&file, &demo).with_context(|| format!("cannot write {}", file.display()))?;
    app.refresh().await?;
    Ok(demo)
}

fn read(file: &Path) -> Option<Demo> {
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

fn still_works(demo: &Demo, directory: &Directory) -> bool {
    let tokens = demo.agents.iter().map(|agent| &agent.token).chain([&demo.admin.token]);
    let mut principals = tokens.map(|token| directory.authenticate(token, Timestamp(0)));
    principals.all(|principal| principal.is_ok_and(|principal| principal.tenant == demo.tenant.id))
}

/// Makes what is missing; tokens anew, since their texts are lost.
async fn make(store: &dyn Store) -> anyhow::Result<Demo> {
    let rows = store.directory().await?;
    let tenant = match rows.tenants.iter().find(|row| row.name == TENANT) {
        Some(row) => row.id,
        None => store.create_tenant(TENANT).await?.id,
    };
    let mut queues = Vec::new();
    for name in QUEUES {
        let known = rows.queues.iter().find(|row| row.tenant == tenant && row.name == name);
        let id = match known {
            Some(row) => row.id,
            None => store.create_queue(tenant, name).await?.id,
        };
        queues.push(Named { id, name: name.to_owned() });
    }
    let mut agents = Vec::new();
    for name in AGENTS {
        let known = rows.agents.iter().find(|row| row.tenant == tenant && row.name == name);
        let id = match known {
            Some(row) => row.id,
            None => store.create_agent(tenant, name).await?.id,
        };
        let token = make_token(store, tenant, id, Scope::Agent).await?;
        agents.push(DemoAgent { id, name: name.to_owned(), token });
    }
    let admin_as = agents.first().map(|agent| agent.id).context("the demo has no agent")?;
    make_administrator(store, tenant, admin_as).await?;
    let admin = DemoAdmin { token: make_token(store, tenant, admin_as, Scope::Admin).await? };
    Ok(Demo { tenant: Named { id: tenant, name: TENANT.to_owned() }, queues, agents, admin })
}

/// Gives an agent the role of administrators, where it has not got it.
async fn make_administrator(store: &dyn Store, tenant: TenantId, agent: AgentId) -> anyhow::Result<()> {
    match store.grant(AuditActor::Operator, tenant, ADMIN_ROLE, Grantee::Agent(agent), None).await {
        Ok(_) | Err(PeopleError::Refused(PeopleRefusal::Granted(_))) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn make_token(
    store: &dyn Store,
    tenant: TenantId,
    agent: AgentId,
    scope: Scope,
) -> anyhow::Result<String> {
    let token = Token::make().map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
    store.create_token(tenant, agent, scope, token.hash(), None).await?;
    Ok(token.reveal().to_owned())
}

/// Whole or not at all: written beside, then renamed.
fn write(file: &Path, demo: &Demo) -> anyhow::Result<()> {
    let beside = file.with_extension("json.new");
    let mut options = OpenOptions::new();
    let mut out = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    out.write_all(serde_json::to_string_pretty(demo)?.as_bytes())?;
    out.sync_all()?;
    Ok(std::fs::rename(&beside, file)?)
}

/// What to type next.
pub(super) fn guide(app: &App, demo: &Demo) -> String {
    let secure = if app.config().tls.certificate.is_some() { "s" } else { "" };
    let api = format!("http{secure}://{}", app.api_addr());
    let push = format!("ws{secure}://{}/v1/push", app.push_addr());
    let token = |index: usize| demo.agents.get(index).map_or("", |agent| agent.token.as_str());
    let (ana, ben) = (token(0), token(1));
    let wagglectl = wagglectl(std::env::current_exe().ok(), std::env::current_dir().ok());
    let queue = demo.queues.first().map_or(1, |queue| queue.id.0);
    format!(
        r#"
Waggle is ready.

  API    {api}
  Push   {push}
  Data   {data}

Tenant "{tenant}" has the queues support and billing, and the agents ana and ben.

1. In a second terminal, watch as ana:

     {wagglectl} watch --push {push} --token {ana}

2. In a third terminal, write as a customer would; it appears in the second at once:

     printf 'My card is lost\n' | {wagglectl} feed --api {api} --token {ben}

   or a whole file of messages:

     {wagglectl} feed --api {api} --token {ben} --csv FILE --column text

3. Or without wagglectl:

     curl -s {api}/v1/tickets \
       -H 'Authorization: Bearer {ben}' \
       -H 'Content-Type: application/json' \
       -d '{{"type":"create","queue":{queue},"subject":"Lost card","requester":"kim@example.com","text":"My card is lost"}}'

Ctrl-C stops the gateway; what was acknowledged is kept.

"#,
        data = app.config().data_dir.display(),
        tenant = demo.tenant.name,
    )
}

/// What to type for `wagglectl`: the one beside this program, by a short path where that leads there
/// from `here`; the shell's to find where there is none.
fn wagglectl(program: Option<PathBuf>, here: Option<PathBuf>) -> String {
    const NAME: &str = "wagglectl";
    let Some(beside) = program.map(|path| path.with_file_name(NAME)).filter(|path| path.is_file()) else {
        return NAME.to_owned();
    };
    // In the root all is inside, and a path without its slash is no shorter.
    let here = here.filter(|here| here.parent().is_some());
    let path = match here.as_deref().and_then(|here| beside.strip_prefix(here).ok()) {
        // A name without a slash would be looked for in PATH.
        Some(inside) if inside == Path::new(NAME) => format!("./{NAME}"),
        Some(inside) => inside.display().to_string(),
        None => beside.display().to_string(),
    };
    quoted(path)
}

/// One word to a shell.
fn quoted(path: String) -> String {
    let is_plain = |char: char| char.is_alphanumeric() || "/._-+".contains(char);
    if path.chars().all(is_plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wagglectl_is_found_beside_the_gateway() {
        let folder = tempfile::tempdir().unwrap();
        let build = folder.path().join("it's here/release");
        std::fs::create_dir_all(&build).unwrap();
        let program = build.join("waggle");
        let shown = |here: &Path| wagglectl(Some(program.clone()), Some(here.to_owned()));
        assert_eq!(shown(folder.path()), "wagglectl", "there is none");

        let client = build.join("wagglectl");
        std::fs::write(&client, "").unwrap();
        assert_eq!(shown(&folder.path().join("it's here")), "release/wagglectl");
        assert_eq!(shown(&build), "./wagglectl");
        assert_eq!(shown(folder.path()), r"'it'\''s here/release/wagglectl'");
        let whole = quoted(client.display().to_string());
        assert_eq!(shown(Path::new("/somewhere/else")), whole);
        assert_eq!(shown(Path::new("/")), whole);
        assert_eq!(wagglectl(None, None), "wagglectl");
    }
}
