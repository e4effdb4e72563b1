//! The rows of the matrix: what each endpoint needs, and a request to it.

use super::*;

impl Stage {
    /// An endpoint's row for one kind of object; `None` where it has nothing to do with such objects.
    pub(super) async fn case(&self, operation: Operation, object: Object) -> Option<Case> {
        let whole = object == Object::Here;
        let row = match operation {
            Operation::ListTickets if whole => case(Needs::LetIn, 200, "/v1/tickets"),
            Operation::Search if whole => case(Needs::LetIn, 200, "/v1/search?q=card"),
            Operation::GetMe if whole => case(Needs::LetIn, 200, "/v1/me"),
            Operation::ListQueues if whole => case(Needs::LetIn, 200, "/v1/queues"),
            Operation::ListAgents if whole => case(Needs::Somewhere(Right::See), 200, "/v1/agents"),
            Operation::GetPresence if whole => case(Needs::Somewhere(Right::See), 200, "/v1/presence"),
            Operation::ListTeams if whole => case(Needs::Somewhere(Right::See), 200, "/v1/teams"),
            Operation::ListRoles if whole => case(Needs::Somewhere(Right::Administer), 200, "/v1/roles"),
            Operation::ListGrants if whole => case(Needs::Somewhere(Right::Administer), 200, "/v1/grants"),
            Operation::GetLearn if whole => case(Needs::Everywhere(Right::See), 200, "/v1/learn"),
            Operation::ListAudit if whole => case(Needs::Everywhere(Right::Administer), 200, "/v1/audit"),
            Operation::ListPushSessions if whole => {
                case(Needs::Everywhere(Right::Administer), 200, "/v1/push/sessions")
            }
            // Who it is comes with the first message; without a handshake there is nothing to upgrade.
            Operation::OpenPush if whole => case(Needs::Nothing, 426, "/v1/push"),
            Operation::StreamEvents if whole => case(Needs::LetIn, 200, "/v1/push/events?views=tenant"),
            Operation::GetHealth if whole => case(Needs::Nothing, 200, "/healthz"),
            Operation::GetReadiness if whole => case(Needs::Nothing, 200, "/readyz"),
            Operation::GetMetrics if whole => case(Needs::Nothing, 200, "/metrics"),
            _ => match operation {
                Operation::CreateTicket
                | Operation::GetTicket
                | Operation::ListMessages
                | Operation::ListEvents
                | Operation::SubmitCommand
                | Operation::GetSuggestions
                | Operation::KeepDraft
                | Operation::GetDraft
                | Operation::DeleteDraft
                | Operation::AddAttachment
                | Operation::ListAttachments
                | Operation::GetAttachment => self.of_tickets(operation, object),
                _ if object == Object::There => return self.of_queues(operation, object).await,
                _ => return self.of_tenant(operation, object).await,
            },
        };
        Some(row)
    }

    pub(super) fn of_tickets(&self, operation: Operation, object: Object) -> Case {
        let ticket = self.ticket(object);
        let path = format!("/v1/tickets/{ticket}");
        match operation {
            Operation::CreateTicket => {
                let mut body = create();
                body["queue"] = json!(Self::queue(object));
                let row = case(Needs::InNamedQueue(Right::Create), 201, "/v1/tickets").with(body);
                Case { missing: 422, ..row }
            }
            Operation::SubmitCommand => case(Needs::InQueue(Right::Note), 200, format!("{path}/commands"))
                .with(json!({"type": "note", "text": "x"})),
            Operation::GetSuggestions => {
                case(Needs::InQueue(Right::See), 200, format!("{path}/suggestions?message=1"))
            }
            Operation::ListMessages => case(Needs::InQueue(Right::See), 200, format!("{path}/messages")),
            Operation::ListEvents => case(Needs::InQueue(Right::See), 200, format!("{path}/events")),
            Operation::ListAttachments => {
                case(Needs::InQueue(Right::See), 200, format!("{path}/attachments"))
            }
            Operation::GetAttachment => {
                let file = if object == Object::There { &self.file_there } else { &self.file_here };
                case(Needs::InQueue(Right::See), 200, format!("{path}/attachments/{file}"))
            }
            Operation::KeepDraft => case(Needs::InQueue(Right::See), 204, format!("{path}/draft"))
                .with(json!({"as": "note", "text": "x"})),
            // Nobody has begun to write yet: for whoever sees the ticket, there is no draft.
            Operation::GetDraft | Operation::DeleteDraft => {
                case(Needs::InQueue(Right::See), 404, format!("{path}/draft"))
            }
            Operation::AddAttachment => {
                let body = json!(format!("file {}", self.name()));
                case(Needs::InQueue(Right::Note), 201, format!("{path}/attachments?name=a.txt")).with(body)
            }
            _ => case(Needs::InQueue(Right::See), 200, path),
        }
    }

    pub(super) async fn of_queues(&self, operation: Operation, object: Object) -> Option<Case> {
        let queue = Self::queue(object);
        let row = match operation {
            Operation::RenameQueue => {
                case(Needs::InQueue(Right::Administer), 204, format!("/v1/queues/{queue}"))
                    .with(json!({"name": self.name().as_str()}))
            }
            Operation::CreateGrant => {
                let agent = self.agent(Object::Here).await;
                // The administrator of a queue gives roles there; of another he must not even learn.
                let row = case(Needs::Chief, 201, "/v1/grants")
                    .with(json!({"role": VIEWER_ROLE, "agent": agent, "queue": queue}));
                Case { missing: 422, ..row }
            }
            Operation::WithdrawGrant => {
                let to = Grantee::Agent(AgentId(self.agent(Object::Here).await as u32));
                let granted = self.world.api.store.grant(OPERATOR, ACME, VIEWER_ROLE, to, Some(queue)).await;
                let path = format!("/v1/grants/{}", granted.unwrap().id);
                case(Needs::Chief, 204, path)
            }
            _ => return None,
        };
        Some(row)
    }

    pub(super) async fn of_tenant(&self, operation: Operation, object: Object) -> Option<Case> {
        let whole = object == Object::Here;
        let administer = Needs::Everywhere(Right::Administer);
        let name = json!({"name": self.name().as_str()});
        let row = match operation {
            Operation::RenameQueue | Operation::CreateGrant | Operation::WithdrawGrant if whole => {
                return self.of_queues(operation, object).await;
            }
            Operation::Teach if whole => case(administer, 200, "/v1/learn")
                .with(json!({"teach": "create", "name": self.name().as_str()})),
            Operation::CreateQueue if whole => case(administer, 201, "/v1/queues").with(name),
            Operation::CreateAgent if whole => case(administer, 201, "/v1/agents").with(name),
            Operation::ChangeAgent => {
                case(administer, 204, format!("/v1/agents/{}", self.agent(object).await)).with(name)
            }
            Operation::CreateTeam if whole => case(administer, 201, "/v1/teams").with(name),
            Operation::RenameTeam => {
                case(administer, 204, format!("/v1/teams/{}", self.team(object).await)).with(name)
            }
            Operation::DeleteTeam => case(administer, 204, format!("/v1/teams/{}", self.team(object).await)),
            Operation::AddMember => {
                let agent = self.agent(Object::Here).await;
                case(administer, 204, format!("/v1/teams/{}/members/{agent}", self.team(object).await))
            }
            Operation::RemoveMember => {
                let (team, agent) =
                    (self.team(Object::Here).await as u32, self.agent(Object::Here).await as u32);
                let (team, agent) = (waggle_core::id::TeamId(team), AgentId(agent));
                self.world.api.store.add_member(OPERATOR, ACME, team, agent).await.unwrap();
                let team = if whole { u64::from(team.0) } else { ABROAD };
                case(administer, 204, format!("/v1/teams/{team}/members/{agent}"))
            }
            Operation::CreateRole if whole => {
                let name = self.name();
                case(administer, 201, "/v1/roles").with(json!({"name": name.as_str(), "rights": ["see"]}))
            }
            Operation::ChangeRole => case(administer, 204, format!("/v1/roles/{}", self.role(object).await))
                .with(json!({"rights": []})),
            Operation::DeleteRole => case(administer, 204, format!("/v1/roles/{}", self.role(object).await)),
            Operation::FindRequester => {
                let address = format!("k{}@example.com", self.name().as_str().replace(' ', "-"));
                let identity = Identity::parse(IdentityKind::Email, &address).unwrap();
                let tenant = if whole { ACME } else { OTHER };
                let store = &self.world.api.store;
                store.create_requester(OPERATOR, tenant, &self.name(), &[identity]).await.unwrap();
                case(Needs::Somewhere(Right::See), 200, format!("/v1/requesters?email={address}"))
            }
            Operation::GetRequester => {
                let path = format!("/v1/requesters/{}", self.requester(object).await);
                case(Needs::Somewhere(Right::See), 200, path)
            }
            Operation::CreateRequester if whole => {
                case(Needs::Somewhere(Right::Create), 201, "/v1/requesters").with(name)
            }
            Operation::MergeRequesters => {
                let into = self.requester(Object::Here).await;
                let path = format!("/v1/requesters/{}/merge", self.requester(object).await);
                case(Needs::Everywhere(Right::Merge), 200, path).with(json!({"into": into}))
            }
            Operation::EraseRequester => {
                let path = format!("/v1/requesters/{}/erase", self.requester(object).await);
                case(administer, 202, path)
            }
            Operation::ListViews
            | Operation::CreateView
            | Operation::GetView
            | Operation::ListViewTickets
            | Operation::CountView
            | Operation::ChangeView
            | Operation::DeleteView => return self.of_views(operation, object).await,
            _ => return self.of_accounts(operation, object).await,
        };
        Some(row)
    }

    pub(super) async fn of_accounts(&self, operation: Operation, object: Object) -> Option<Case> {
        let whole = object == Object::Here;
        let row = match operation {
            // What is no login is told to everybody; what is one is tested where logins are.
            Operation::LogIn if whole => case(Needs::Nothing, 400, "/v1/login").with(json!({})),
            Operation::LogOut if whole => case(Needs::Session, 204, "/v1/logout"),
            Operation::GetSession if whole => case(Needs::Session, 200, "/v1/session"),
            Operation::CreatePushToken if whole => case(Needs::Session, 200, "/v1/push/tokens"),
            Operation::ListSessions if whole => case(Needs::LetIn, 200, "/v1/sessions"),
            Operation::EndSession if whole => case(Needs::LetIn, 404, "/v1/sessions/99"),
            Operation::ChangePassword if whole => case(Needs::LetIn, 400, "/v1/password").with(json!({})),
            Operation::ResetPassword => {
                let path = format!("/v1/agents/{}/password", self.agent(object).await);
                Case { missing: 422, ..case(Needs::Everywhere(Right::Administer), 200, path) }
            }
            Operation::BeginOidc if whole => case(Needs::Nothing, 404, "/v1/login/oidc"),
            // What no login was begun for is told to everybody.
            Operation::FinishOidc if whole => case(Needs::Nothing, 400, "/v1/login/oidc/callback"),
            _ => match operation {
                Operation::ListLifecycles
                | Operation::GetLifecycle
                | Operation::SaveLifecycle
                | Operation::DeleteLifecycle
                | Operation::CheckLifecycle
                | Operation::GiveLifecycle => return self.of_lifecycles(operation, object),
                Operation::ListViews
                | Operation::CreateView
                | Operation::GetView
                | Operation::ListViewTickets
                | Operation::CountView
                | Operation::ChangeView
                | Operation::DeleteView => return self.of_views(operation, object).await,
                Operation::ListFields
                | Operation::CreateField
                | Operation::ChangeField
                | Operation::DeleteField
                | Operation::ListDrafts
                | Operation::SubmitBulk => return self.of_fields(operation, object),
                _ => return self.of_tokens(operation, object).await,
            },
        };
        Some(row)
    }

    pub(super) fn of_lifecycles(&self, operation: Operation, object: Object) -> Option<Case> {
        let whole = object == Object::Here;
        let administer = Needs::Everywhere(Right::Administer);
        let mut lifecycle = json!({
            "statuses": [
                {"name": "triage", "category": "new"},
                {"name": "working", "category": "open"},
                {"name": "done", "category": "closed"},
            ],
            "edges": [{"from": "triage", "to": "working"}, {"from": "working", "to": "done"}],
            "defaults": {"initial": "triage", "taken": "working", "message": "working", "reopen": "working"},
        });
        let row = match operation {
            Operation::ListLifecycles if whole => case(Needs::LetIn, 200, "/v1/lifecycles"),
            Operation::GetLifecycle if whole => case(Needs::LetIn, 200, "/v1/lifecycles/default"),
            Operation::SaveLifecycle if whole => {
                case(administer, 201, "/v1/lifecycles/saved").with(lifecycle)
            }
            Operation::DeleteLifecycle if whole => case(administer, 404, "/v1/lifecycles/none"),
            Operation::CheckLifecycle if whole => {
                lifecycle["name"] = json!("checked");
                case(administer, 200, "/v1/lifecycles/check").with(lifecycle)
            }
            Operation::GiveLifecycle => {
                let row = case(administer, 200, format!("/v1/queues/{}/lifecycle", Self::queue(object)));
                Case { missing: 422, ..row.with(json!({"lifecycle": "default"})) }
            }
            _ => return None,
        };
        Some(row)
    }

    pub(super) fn of_fields(&self, operation: Operation, object: Object) -> Option<Case> {
        if object != Object::Here {
            return None;
        }
        let administer = Needs::Everywhere(Right::Administer);
        let key: String = self.name().as_str().to_lowercase().replace(' ', "_");
        let row = match operation {
            Operation::ListFields => case(Needs::LetIn, 200, "/v1/fields"),
            Operation::ListDrafts => case(Needs::LetIn, 200, "/v1/drafts"),
            Operation::CreateField => {
                let field = json!({"key": format!("f_{key}"), "name": "x", "type": "text"});
                case(administer, 201, "/v1/fields").with(field)
            }
            Operation::ChangeField => case(administer, 404, "/v1/fields/none").with(json!({})),
            Operation::DeleteField => case(administer, 404, "/v1/fields/none"),
            // Each ticket's result is that of its command; the matrix of commands is theirs.
            _ => {
                let bulk =
                    json!({"tickets": [self.ticket(object)], "command": {"type": "note", "text": "x"}});
                case(Needs::LetIn, 200, "/v1/bulk").with(bulk)
            }
        };
        Some(row)
    }

    pub(super) async fn of_tokens(&self, operation: Operation, object: Object) -> Option<Case> {
        let whole = object == Object::Here;
        let row = match operation {
            Operation::ListTokens if whole => case(Needs::LetIn, 200, "/v1/tokens"),
            Operation::CreateToken if whole => {
                case(Needs::LetIn, 201, "/v1/tokens").with(json!({"name": "x", "scopes": ["read"]}))
            }
            Operation::RevokeToken => {
                let (tenant, agent) = if whole { (ACME, AgentId(2)) } else { (OTHER, AgentId(1)) };
                token(self.world.api.store.as_ref(), tenant, agent, Scope::Read, None).await;
                let rows = self.world.api.store.directory().await.unwrap().tokens;
                let id = rows.iter().map(|row| row.id).max().unwrap();
                case(Needs::Own, 204, format!("/v1/tokens/{id}"))
            }
            _ => return None,
        };
        Some(row)
    }
}
