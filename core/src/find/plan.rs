//! Queries whose names are known.

use super::moment::Moment;
use super::query::{Compare, Has, Instant, Is, Pattern, Person, Query, Term};
use crate::id::{AgentId, QueueId};
use crate::ticket::{Category, Priority, StatusSet};
use crate::time::Timestamp;

/// What a tenant's names stand for, and for whom and when a query is asked.
pub trait Names {
    /// Statuses of this name, those included that were removed and that tickets may still have.
    fn statuses(&self, name: &str) -> StatusSet;
    /// Names of statuses.
    fn status_names(&self) -> Vec<String>;
    /// Statuses of this category.
    fn category(&self, category: Category) -> StatusSet;
    /// The queue of this name, or else number.
    fn queue(&self, name: &str) -> Option<QueueId>;
    /// Names of queues.
    fn queue_names(&self) -> Vec<String>;
    /// The agent of this name, or else number.
    fn agent(&self, name: &str) -> Option<AgentId>;
    /// Names of agents.
    fn agent_names(&self) -> Vec<String>;
    /// Whether there is a custom field of this name.
    fn has_field(&self, name: &str) -> bool;
    /// Names of custom fields.
    fn field_names(&self) -> Vec<String>;
    /// Who asks.
    fn me(&self) -> AgentId;
    /// Now.
    fn now(&self) -> Timestamp;
}

/// A name that stands for nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no {kind} {name:?}; expected one of {}", listed(known))]
pub struct UnknownName {
    /// Status, queue, agent or field.
    pub kind: &'static str,
    /// As given.
    pub name: String,
    /// What there is.
    pub known: Vec<String>,
}

/// As many as a person reads.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 if names.is_empty() => "none: there are none yet".to_owned(),
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A query as the index answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// All tickets.
    All,
    /// All but these.
    Not(Box<Plan>),
    /// Those that are in all.
    And(Vec<Plan>),
    /// Those that are in one.
    Or(Vec<Plan>),
    /// In one of these statuses.
    Status(StatusSet),
    /// In this queue.
    Queue(QueueId),
    /// Held by this agent, or nobody.
    Assignee(Option<AgentId>),
    /// Followed by this agent, or nobody.
    Follower(Option<AgentId>),
    /// Of a priority that compares so.
    Priority(Compare, Priority),
    /// Asked by such a requester.
    Requester(Pattern),
    /// With such a tag.
    Tag(Pattern),
    /// That came by such a channel.
    Channel(Pattern),
    /// With a value of this field that compares so.
    Field(String, Compare, Pattern),
    /// With such a number.
    Id(Compare, u64),
    /// With this time not before the one and before the other.
    Time(Instant, Timestamp, Timestamp),
    /// That have one.
    Has(Has),
    /// Merged into another.
    Merged,
    /// Deleted.
    Deleted,
    /// With a text; by the term as it is printed.
    Text(String),
}

impl Plan {
    /// The plan of `query`.
    ///
    /// # Errors
    /// Where a name stands for nothing.
    pub fn of(query: &Query, names: &dyn Names) -> Result<Self, UnknownName> {
        let all =
            |parts: &[Query]| parts.iter().map(|part| Self::of(part, names)).collect::<Result<Vec<_>, _>>();
        Ok(match query {
            Query::All => Self::All,
            Query::Not(inner) => Self::Not(Box::new(Self::of(inner, names)?)),
            Query::And(parts) => Self::And(all(parts)?),
            Query::Or(parts) => Self::Or(all(parts)?),
            Query::Term(term) => Self::term(term, names)?,
        })
    }

    /// Whether it asks for deleted tickets, which are left out otherwise.
    #[must_use]
    pub fn shows_deleted(&self) -> bool {
        match self {
            Self::Deleted => true,
            Self::Not(inner) => inner.shows_deleted(),
            Self::And(parts) | Self::Or(parts) => parts.iter().any(Self::shows_deleted),
            _ => false,
        }
    }

    fn term(term: &Term, names: &dyn Names) -> Result<Self, UnknownName> {
        Ok(match term {
            Term::Status(name) => {
                let statuses = names.statuses(name);
                if statuses.is_empty() {
                    return Err(unknown("status", name, names.status_names()));
                }
                Self::Status(statuses)
            }
            Term::Category(category) => Self::Status(names.category(*category)),
            Term::Queue(name) => {
                let queue = names.queue(name);
                Self::Queue(queue.ok_or_else(|| unknown("queue", name, names.queue_names()))?)
            }
            Term::Assignee(person) => Self::Assignee(agent(person, names)?),
            Term::Follower(person) => Self::Follower(agent(person, names)?),
            Term::Priority(compare, priority) => Self::Priority(*compare, *priority),
            Term::Requester(pattern) => Self::Requester(pattern.clone()),
            Term::Tag(pattern) => Self::Tag(pattern.clone()),
            Term::Channel(pattern) => Self::Channel(pattern.clone()),
            Term::Field(name, ..) if !names.has_field(name) => {
                return Err(unknown("field", name, names.field_names()));
            }
            Term::Field(name, compare, pattern) => Self::Field(name.clone(), *compare, pattern.clone()),
            Term::Id(compare, id) => Self::Id(*compare, *id),
            Term::Time(instant, compare, moment) => time(*instant, *compare, *moment, names.now()),
            Term::Has(has) => Self::Has(*has),
            Term::Is(is) => Self::state(*is, names),
            Term::Word(_) | Term::Phrase(_) => Self::Text(term.to_string()),
        })
    }

    fn state(is: Is, names: &dyn Names) -> Self {
        let not = |plan| Self::Not(Box::new(plan));
        let unsolved = || {
            let solved = [Category::Solved, Category::Closed];
            let statuses =
                solved.into_iter().flat_map(|category| names.category(category).iter().collect::<Vec<_>>());
            not(Self::Status(statuses.collect()))
        };
        match is {
            Is::Assigned => not(Self::Assignee(None)),
            Is::Unassigned => Self::Assignee(None),
            Is::Unsolved => unsolved(),
            Is::Overdue => Self::And(vec![unsolved(), Self::Time(Instant::Due, Timestamp(0), names.now())]),
            Is::Merged => Self::Merged,
            Is::Deleted => Self::Deleted,
        }
    }
}

fn agent(person: &Person, names: &dyn Names) -> Result<Option<AgentId>, UnknownName> {
    match person {
        Person::Me => Ok(Some(names.me())),
        Person::Nobody => Ok(None),
        Person::Named(name) => {
            let found = names.agent(name);
            found.map(Some).ok_or_else(|| unknown("agent", name, names.agent_names()))
        }
    }
}

fn time(instant: Instant, compare: Compare, moment: Moment, now: Timestamp) -> Plan {
    let (from, until) = moment.bounds(now);
    let (from, until) = match compare {
        Compare::Is => (from, until),
        Compare::Below => (Timestamp(0), from),
        Compare::AtMost => (Timestamp(0), until),
        Compare::Above => (until, Timestamp(u64::MAX)),
        Compare::AtLeast => (from, Timestamp(u64::MAX)),
    };
    Plan::Time(instant, from, until)
}

fn unknown(kind: &'static str, name: &str, known: Vec<String>) -> UnknownName {
    UnknownName { kind, name: name.to_owned(), known }
}
