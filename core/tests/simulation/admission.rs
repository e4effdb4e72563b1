//! Admission, in the steps and the order of the gateway's: key, generation, cell, channel.

use std::rc::Rc;
use std::sync::Arc;

use waggle_core::id::TicketId;
use waggle_core::ledger::{Admitted, Slot, Written};
use waggle_core::ticket::Request as CommandRequest;
use waggle_core::ticket::{Cell, Entry, Expect, Intent, Lifecycles, NewEvent};
use waggle_core::time::Timestamp;

use crate::agenda::Event;
use crate::ledger::{Answer, Caller, Failure, Generation, Ledger, LedgerStep, Origin, Request, RequestId};
use crate::model::Terms;
use crate::store::Row;
use crate::world::World;

impl World {
    pub(crate) fn ledger(&mut self) -> &mut Ledger {
        &mut self.gateway.as_mut().expect("a step of a living gateway").ledger
    }

    pub(crate) fn ledger_step(&mut self, step: LedgerStep) {
        match step {
            LedgerStep::TakeKey(id) => self.take_key(id),
            LedgerStep::ReadKey(id) => self.read_key(id),
            LedgerStep::KeyKnown(id, found) => self.key_known(id, found),
            LedgerStep::ReadTicket(id, generation) => self.read_ticket(id, generation),
            LedgerStep::TicketKnown(id, generation, row) => self.ticket_known(id, &generation, row),
            LedgerStep::Send(item) => {
                self.ledger().channel.push_back(*item);
                self.writer_turn();
            }
            LedgerStep::CommitLands => self.commit_lands(),
            LedgerStep::CommitAnswers => self.commit_answers(),
            LedgerStep::ReadHeads => self.read_heads(),
            LedgerStep::HeadsKnown(heads) => self.heads_known(heads),
            LedgerStep::ReadUnpublished(heads) => self.read_unpublished(heads),
            LedgerStep::UnpublishedKnown(heads, entries) => self.unpublished_known(heads, entries),
        }
    }

    pub(crate) fn later(&mut self, delay_ms: u64, step: LedgerStep) {
        self.agenda.add(self.now + delay_ms, Event::Ledger(self.life, step));
    }

    pub(crate) fn store_delay(&mut self) -> u64 {
        self.random.below(self.plan.store_ms)
    }

    pub(crate) fn submit(&mut self, request: Request) {
        let id = self.request_next;
        self.request_next += 1;
        let in_flight_max = self.plan.in_flight_max;
        let has_key = request.key.is_some();
        let ledger = self.ledger();
        let is_full = ledger.requests.len() >= in_flight_max;
        ledger.requests.insert(id, request);
        if is_full {
            self.answer(id, Err(Failure::Again));
        } else if has_key {
            self.take_key(id);
        } else {
            self.admit(id);
        }
    }

    fn take_key(&mut self, id: RequestId) {
        let ledger = self.ledger();
        let request = ledger.requests.get_mut(&id).expect("a request under way");
        let key = request.key.clone().expect("a request with a key");
        if let Some(waiting) = ledger.keys.get_mut(&key) {
            waiting.push(id);
            return;
        }
        request.has_lease = true;
        ledger.keys.insert(key, Vec::new());
        let delay = self.store_delay();
        self.later(delay, LedgerStep::ReadKey(id));
    }

    fn read_key(&mut self, id: RequestId) {
        let key = self.ledger().requests[&id].key.clone().expect("a request with a key");
        let found = match self.goes_wrong(self.plan.read_fails_per_mille) {
            true => Err(Failure::Again),
            false => Ok(self.store.event_by_key(&key)),
        };
        let delay = self.store_delay();
        self.later(delay, LedgerStep::KeyKnown(id, found));
    }

    fn key_known(&mut self, id: RequestId, found: Result<Option<Arc<Entry>>, Failure>) {
        match found {
            Err(failure) => self.answer(id, Err(failure)),
            Ok(Some(entry)) => self.answer(id, Ok(entry)),
            Ok(None) => self.admit(id),
        }
    }

    fn admit(&mut self, id: RequestId) {
        let cells_max = self.plan.cells_max;
        let at = Timestamp(self.now);
        let ledger = self.ledger();
        let generation = Rc::clone(&ledger.generation);
        let request = ledger.requests[&id].clone();
        let Some(ticket) = request.ticket else {
            let log = ledger.logs.get_mut(&request.tenant).expect("a known tenant");
            log.ticket += 1;
            let ticket = TicketId(log.ticket);
            let parsed = CommandRequest::parse(request.body.as_bytes()).expect("a command");
            let event = NewEvent::created(
                &Lifecycles::built_in(),
                ticket,
                &parsed.command,
                request.authority.actor,
                at,
            );
            let event = event.expect("a create command");
            let queue = event.queue.unwrap_or_default();
            let cell = Cell::new(event.version, event.status, event.fence, None);
            let slot = Slot::new(cell, Written { queue, ..Written::default() });
            let slot = generation.insert(request.tenant, ticket, slot, cells_max);
            return self.send(id, generation.number, &request, slot, event, &parsed);
        };
        match generation.get(request.tenant, ticket) {
            Some(slot) => self.reserve(id, &generation, slot, ticket),
            None => {
                let delay = self.store_delay();
                self.later(delay, LedgerStep::ReadTicket(id, generation));
            }
        }
    }

    fn read_ticket(&mut self, id: RequestId, generation: Rc<Generation>) {
        let request = &self.ledger().requests[&id];
        let (tenant, ticket) = (request.tenant, request.ticket.expect("a ticket"));
        let row = match self.goes_wrong(self.plan.read_fails_per_mille) {
            true => Err(Failure::Again),
            false => Ok(self.store.row(tenant, ticket)),
        };
        let delay = self.store_delay();
        self.later(delay, LedgerStep::TicketKnown(id, generation, row));
    }

    fn ticket_known(&mut self, id: RequestId, generation: &Generation, row: Result<Option<Row>, Failure>) {
        let row = match row {
            Err(failure) => return self.answer(id, Err(failure)),
            Ok(None) => return self.answer(id, Err(Failure::Refused)),
            Ok(Some(row)) => row,
        };
        let request = &self.ledger().requests[&id];
        let (tenant, ticket) = (request.tenant, request.ticket.expect("a ticket"));
        if self.store.row(tenant, ticket) != Some(row) {
            self.ledger().outdated.insert((tenant, ticket));
        }
        let cell = Cell::new(row.version, row.status, row.fence, row.assignee);
        let slot = Slot::new(
            cell,
            Written {
                version: row.version,
                offset: row.newest,
                queue: row.queue,
                agent: row.assignee,
                ..Written::default()
            },
        );
        let slot = generation.insert(tenant, ticket, slot, self.plan.cells_max);
        self.reserve(id, generation, slot, ticket);
    }

    fn reserve(&mut self, id: RequestId, generation: &Generation, slot: Arc<Slot>, ticket: TicketId) {
        let request = self.ledger().requests[&id].clone();
        let parsed = CommandRequest::parse(request.body.as_bytes()).expect("a command");
        let lifecycles = Lifecycles::built_in();
        let intent = intent_of(&parsed, &slot).expect("a command of a ticket");
        let expect = parsed.expect.unwrap_or(Expect::Any);
        match slot.cell.reserve(&lifecycles, request.authority, expect, parsed.fence, intent) {
            Err(_) => self.answer(id, Err(Failure::Refused)),
            Ok(reserved) => {
                let (actor, at) = (request.authority.actor, Timestamp(self.now));
                let event =
                    NewEvent::admitted(&lifecycles, ticket, &parsed.command, &reserved.transition, actor, at);
                let event = event.expect("a command of a ticket");
                self.send(id, generation.number, &request, slot, event, &parsed);
            }
        }
    }

    /// To the channel: at once, or after others where the thread is put aside right here.
    fn send(
        &mut self,
        id: RequestId,
        generation: u64,
        request: &Request,
        slot: Arc<Slot>,
        event: NewEvent,
        parsed: &CommandRequest<'_>,
    ) {
        let terms = Terms {
            actor: request.authority.actor,
            rights: request.authority.rights,
            expect: parsed.expect.unwrap_or(Expect::Any),
            fence: parsed.fence,
            intent: intent_of(parsed, &slot),
        };
        let caller = Caller { generation, request: id, key: request.key.clone(), terms };
        self.trace.note(self.now, "reserved", &[id, event.ticket.0, event.version.0.into()]);
        let item = Box::new(Admitted { tenant: request.tenant, slot, event, caller, with: None });
        let stall = match self.goes_wrong(self.plan.stall_per_mille) {
            true => self.random.between(1, 60),
            false => 0,
        };
        match stall {
            0 => self.ledger_step(LedgerStep::Send(item)),
            stall => self.later(stall, LedgerStep::Send(item)),
        }
    }

    /// A command's fate is known: its lease ends, and the answer leaves.
    pub(crate) fn answer(&mut self, id: RequestId, answer: Answer) {
        let request = self.ledger().requests.remove(&id).expect("a request under way");
        if let Ok(entry) = &answer {
            self.model.answer_leaves(&self.store, request.tenant, request.key.as_ref(), entry);
        }
        if let Some(key) = request.key.filter(|_| request.has_lease) {
            for waiting in self.ledger().keys.remove(&key).unwrap_or_default() {
                let delay = self.random.below(5);
                self.later(delay, LedgerStep::TakeKey(waiting));
            }
        }
        let told = answer.as_ref().map_or(0, |entry| entry.offset.0);
        self.trace.note(self.now, "answer", &[id, u64::from(answer.is_ok()), told]);
        match request.origin {
            Origin::Author { author, attempt } => self.answer_author(author, attempt, answer),
            Origin::Session { conn, id } => {
                let delay = self.random.below(3);
                self.agenda.add(self.now + delay, Event::CommandAnswered { conn, id, answer });
            }
        }
    }
}

/// None for create. Authors know the names of statuses.
fn intent_of(parsed: &CommandRequest<'_>, slot: &Slot) -> Option<Intent> {
    let at = slot.cell.load().status();
    parsed.command.intent(&Lifecycles::built_in(), at).expect("names of statuses")
}
