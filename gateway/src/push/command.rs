//! Commands that come over a push connection: the same rules as over HTTP.

use std::rc::Rc;

use bytes::Bytes;
use waggle_core::id::TicketId;
use waggle_core::push::PushCommand;
use waggle_core::ticket::{Command, Request};

use super::shard::{Key, Shard};
use crate::directory::Principal;
use crate::learn::Sayer;
use crate::ledger::{self, Outcome, Submission};
use crate::problem::Problem;

/// A command, apart from the message that it came in.
struct Call {
    id: String,
    ticket: Option<TicketId>,
    key: Option<String>,
    body: Bytes,
}

/// Carries a command out in a task of its own. `source` is the message that `command` is a part of.
pub(super) fn start(
    shard: &Rc<Shard>,
    key: Key,
    principal: Principal,
    command: &PushCommand<'_>,
    source: &Bytes,
) {
    let call = Call {
        id: command.id.to_owned(),
        ticket: command.ticket,
        key: command.key.map(str::to_owned),
        // The text is borrowed from `source`, which is what this needs.
        body: source.slice_ref(command.command.get().as_bytes()),
    };
    let shard = Rc::clone(shard);
    tokio::task::spawn_local(async move {
        match call.submit(&shard, principal).await {
            Ok(outcome) => {
                shard.drive(key, |session| session.answered(&call.id, &outcome.entry.json()));
            }
            Err(problem) => {
                let problem = problem.to_json();
                shard.drive(key, |session| session.rejected(&call.id, problem.as_bytes()));
            }
        }
    });
}

impl Call {
    async fn submit(&self, shard: &Shard, principal: Principal) -> Result<Outcome, Problem> {
        if !principal.may_change() {
            return Err(Problem::new("read_only", "the token's scope is read: it changes nothing"));
        }
        let request = Request::parse(&self.body).map_err(|error| Problem::from_command(&error))?;
        if request.command.overwrites() && request.expect.is_none() {
            let detail = format!(
                "a {} command overwrites; give the version that you saw as expect",
                request.command.name()
            );
            return Err(Problem::new("version_required", detail));
        }
        if let (Command::Feedback(feedback), Some(learn)) = (request.command, &shard.learn) {
            let sees = shard.access.visible_queues(&principal);
            let head = shard.log.head(principal.tenant).unwrap_or_default().offset;
            let (ticket, key) = (self.ticket, self.key.as_deref());
            let sayer = Sayer { principal: &principal, sees: &sees, ticket, key, head };
            let checked = learn.check_feedback(sayer, feedback.suggested.reply).await;
            checked.map_err(|fault| Problem::from_feedback(&fault))?;
        }
        let submission = Submission {
            tenant: principal.tenant,
            authority: principal.authority(),
            ticket: self.ticket,
            request,
            key: self.key.as_deref().map(|key| (key, self.fingerprint())),
        };
        shard.log.submit(submission).await.map_err(|error| Problem::from_submit(&error))
    }

    /// What a key stands for: as if the command had come over HTTP, so that a client that has lost its
    /// connection may ask again there with the same key.
    fn fingerprint(&self) -> u64 {
        let path = match self.ticket {
            None => "/v1/tickets".to_owned(),
            Some(ticket) => format!("/v1/tickets/{ticket}/commands"),
        };
        ledger::fingerprint("POST", &path, &self.body)
    }
}
