//! From a name and a value to a term.

use super::error::QueryFault;
use super::query::{Compare, HAS, INSTANTS, IS, Instant, Pattern, PatternEnd, Person, Term};
use super::{Moment, value};
use crate::ticket::{Category, Priority};

/// What can be asked for.
pub(super) const KEYS: [&str; 15] = [
    "status",
    "category",
    "queue",
    "assignee",
    "follower",
    "priority",
    "requester",
    "tag",
    "channel",
    "id",
    "created",
    "updated",
    "due",
    "has",
    "is",
];
const CATEGORIES: [Category; 6] =
    [Category::New, Category::Open, Category::Pending, Category::OnHold, Category::Solved, Category::Closed];
const PRIORITIES: &str = "low, normal, high or urgent";
const MOMENTS: &str =
    "a day or time of UTC (2026-01-31, 2026-01-31T12:30), today, now, or a time from now (-7d, +2h)";
const FIELD: &str = "field.";

/// A word or phrase to look for in texts.
pub(super) fn text(given: &str, term: fn(String) -> Term) -> Result<Term, QueryFault> {
    if given.chars().any(char::is_alphanumeric) {
        return Ok(term(given.to_owned()));
    }
    Err(QueryFault::BadValue {
        key: "the text".to_owned(),
        value: given.to_owned(),
        expected: "a letter or digit in it".to_owned(),
    })
}

/// `key`, a sign, and a value.
pub(super) fn pair(given: &str, compare: Compare, value: &str, is_quoted: bool) -> Result<Term, QueryFault> {
    let key = given.to_ascii_lowercase();
    let field = key.strip_prefix(FIELD).filter(|name| !name.is_empty());
    if field.is_none() && !KEYS.contains(&key.as_str()) {
        return Err(QueryFault::UnknownKey { name: given.to_owned(), known: KEYS.to_vec() });
    }
    let leaf = Leaf { key: &key, compare, value, is_quoted };
    if value.is_empty() {
        let expected = leaf.expected();
        return Err(QueryFault::NoValue { key: key.clone(), expected });
    }
    if let Some(name) = field {
        return Ok(Term::Field(name.to_owned(), compare, leaf.pattern()));
    }
    leaf.term()
}

struct Leaf<'a> {
    key: &'a str,
    compare: Compare,
    value: &'a str,
    is_quoted: bool,
}

impl Leaf<'_> {
    fn term(&self) -> Result<Term, QueryFault> {
        if let Some((instant, _)) = INSTANTS.iter().find(|(_, name)| *name == self.key) {
            return self.instant(*instant);
        }
        match self.key {
            "priority" => {
                let priority = Priority::from_name(&self.value.to_ascii_lowercase());
                return priority
                    .map(|priority| Term::Priority(self.compare, priority))
                    .ok_or_else(|| self.bad());
            }
            "id" => return self.value.parse().map(|id| Term::Id(self.compare, id)).map_err(|_| self.bad()),
            _ if self.compare != Compare::Is => return Err(QueryFault::NoOrder { key: self.key.to_owned() }),
            _ => {}
        }
        let lower = self.value.to_lowercase();
        Ok(match self.key {
            "status" => Term::Status(lower),
            "category" => {
                let known = CATEGORIES.iter().find(|category| category.name() == lower);
                Term::Category(*known.ok_or_else(|| self.bad())?)
            }
            "queue" => Term::Queue(self.value.to_owned()),
            "assignee" => Term::Assignee(self.person()),
            "follower" => Term::Follower(self.person()),
            "requester" => Term::Requester(self.pattern()),
            "tag" => Term::Tag(self.pattern()),
            "channel" => Term::Channel(self.pattern()),
            "has" => Term::Has(HAS.iter().find(|(_, name)| *name == lower).ok_or_else(|| self.bad())?.0),
            _ => Term::Is(IS.iter().find(|(_, name)| *name == lower).ok_or_else(|| self.bad())?.0),
        })
    }

    fn instant(&self, instant: Instant) -> Result<Term, QueryFault> {
        let moment = Moment::parse(self.value).ok_or_else(|| self.bad())?;
        Ok(Term::Time(instant, self.compare, moment))
    }

    /// In quotes it is a name in any case.
    fn person(&self) -> Person {
        match self.value {
            "me" if !self.is_quoted => Person::Me,
            "none" if !self.is_quoted => Person::Nobody,
            name => Person::Named(name.to_owned()),
        }
    }

    /// A star at the end stands for anything, except in quotes.
    fn pattern(&self) -> Pattern {
        let text = value::normal(self.value);
        match text.strip_suffix('*').filter(|_| !self.is_quoted) {
            Some(start) => Pattern { text: start.to_owned(), ends: PatternEnd::Anywhere },
            None => Pattern { text, ends: PatternEnd::Here },
        }
    }

    fn bad(&self) -> QueryFault {
        let expected = self.expected();
        QueryFault::BadValue { key: self.key.to_owned(), value: self.value.to_owned(), expected }
    }

    fn expected(&self) -> String {
        let names = |names: &mut dyn Iterator<Item = &'static str>| {
            format!("one of {}", names.collect::<Vec<_>>().join(", "))
        };
        match self.key {
            "status" => "a status' name".to_owned(),
            "category" => names(&mut CATEGORIES.iter().map(|category| category.name())),
            "queue" => "a queue's name or number".to_owned(),
            "assignee" | "follower" => "me, none, or an agent's name or number".to_owned(),
            "priority" => PRIORITIES.to_owned(),
            "id" => "a ticket's number".to_owned(),
            "created" | "updated" | "due" => MOMENTS.to_owned(),
            "has" => names(&mut HAS.iter().map(|(_, name)| *name)),
            "is" => names(&mut IS.iter().map(|(_, name)| *name)),
            _ => "a text, with `*` at its end where more may follow".to_owned(),
        }
    }
}
