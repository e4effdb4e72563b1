//! What people ask for, as a tree.

use super::Moment;
use super::phrase::{WordPhrase, phrase};
use crate::ticket::{Category, Priority};

/// A question about tickets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// All tickets.
    All,
    /// Those with one property.
    Term(Term),
    /// Those that are not so.
    Not(Box<Query>),
    /// Those for which all hold: at least two.
    And(Vec<Query>),
    /// Those for which one holds: at least two.
    Or(Vec<Query>),
}

/// One property of a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Term {
    /// In a status of this name.
    Status(String),
    /// In a status of this category.
    Category(Category),
    /// In the queue of this name or number.
    Queue(String),
    /// Held by this agent.
    Assignee(Person),
    /// Followed by this agent.
    Follower(Person),
    /// Of this priority, or of one above or below.
    Priority(Compare, Priority),
    /// Asked by this requester.
    Requester(Pattern),
    /// With this tag.
    Tag(Pattern),
    /// That came by this channel.
    Channel(Pattern),
    /// With this value in the field of this name.
    Field(String, Compare, Pattern),
    /// With a number like this.
    Id(Compare, u64),
    /// With this in that time.
    Time(Instant, Compare, Moment),
    /// That have one.
    Has(Has),
    /// That are so.
    Is(Is),
    /// With this word in subject, messages or fields.
    Word(String),
    /// With these words beside each other.
    Phrase(String),
}

/// How a value compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// `:`
    Is,
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `>=`
    AtLeast,
}

/// The signs of [`Compare`], longest first.
pub(super) const COMPARES: [(Compare, &str); 5] = [
    (Compare::AtMost, "<="),
    (Compare::AtLeast, ">="),
    (Compare::Is, ":"),
    (Compare::Below, "<"),
    (Compare::Above, ">"),
];

impl Compare {
    /// Whether `left` compares to `right` like this.
    #[must_use]
    pub fn holds<T: PartialOrd>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Is => left == right,
            Self::Below => left < right,
            Self::AtMost => left <= right,
            Self::Above => left > right,
            Self::AtLeast => left >= right,
        }
    }
}

/// An agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Person {
    /// Whoever asks.
    Me,
    /// Nobody.
    Nobody,
    /// The agent of this name or number.
    Named(String),
}

/// A text that a value is, or begins with. Letters' case does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// The text, in lower case.
    pub text: String,
    /// What may follow it.
    pub ends: PatternEnd,
}

/// What may follow a [`Pattern`]'s text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatternEnd {
    /// Nothing.
    Here,
    /// Anything: `*`.
    Anywhere,
}

impl Pattern {
    /// Whether every value is meant.
    pub(super) fn is_anything(&self) -> bool {
        self.text.is_empty() && self.ends == PatternEnd::Anywhere
    }

    /// Whether `value`, in lower case, is meant.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        match self.ends {
            PatternEnd::Here => value == self.text,
            PatternEnd::Anywhere => value.starts_with(&self.text),
        }
    }
}

/// Times of a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instant {
    /// When it came to be.
    Created,
    /// When something last happened.
    Updated,
    /// When it is due; a ticket may have none.
    Due,
}

/// What a ticket may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Has {
    /// A file.
    Attachment,
    /// A tag.
    Tag,
    /// A due date.
    Due,
    /// A field with a value.
    Field,
    /// A follower.
    Follower,
    /// A link to another ticket.
    Link,
}

/// What a ticket may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Is {
    /// Held by somebody.
    Assigned,
    /// Held by nobody.
    Unassigned,
    /// Neither solved nor closed.
    Unsolved,
    /// Unsolved, and its due date is over.
    Overdue,
    /// Merged into another ticket.
    Merged,
    /// Deleted: such tickets are found by nothing else.
    Deleted,
}

macro_rules! names {
    ($type:ident, $table:ident, [$(($value:ident, $name:literal)),* $(,)?]) => {
        pub(super) const $table: &[($type, &str)] = &[$(($type::$value, $name)),*];

        impl $type {
            /// Its name in a query.
            #[must_use]
            pub fn name(self) -> &'static str {
                $table.iter().find(|(value, _)| *value == self).map_or("?", |(_, name)| name)
            }
        }
    };
}

names!(Instant, INSTANTS, [(Created, "created"), (Updated, "updated"), (Due, "due")]);
names!(
    Has,
    HAS,
    [
        (Attachment, "attachment"),
        (Tag, "tag"),
        (Due, "due"),
        (Field, "field"),
        (Follower, "follower"),
        (Link, "link"),
    ]
);
names!(
    Is,
    IS,
    [
        (Assigned, "assigned"),
        (Unassigned, "unassigned"),
        (Unsolved, "unsolved"),
        (Overdue, "overdue"),
        (Merged, "merged"),
        (Deleted, "deleted"),
    ]
);

impl Query {
    /// All that hold, in a tree without needless levels.
    #[must_use]
    pub fn and(parts: Vec<Query>) -> Self {
        Self::joined(parts, Self::And, |query| match query {
            Self::And(inner) => Ok(inner),
            Self::All => Ok(Vec::new()),
            other => Err(other),
        })
    }

    /// One that holds, in a tree without needless levels.
    #[must_use]
    pub fn or(parts: Vec<Query>) -> Self {
        Self::joined(parts, Self::Or, |query| match query {
            Self::Or(inner) => Ok(inner),
            other => Err(other),
        })
    }

    fn joined(
        parts: Vec<Query>,
        join: fn(Vec<Query>) -> Query,
        inner: fn(Query) -> Result<Vec<Query>, Query>,
    ) -> Self {
        let mut flat = Vec::with_capacity(parts.len());
        for part in parts {
            match inner(part) {
                Ok(parts) => flat.extend(parts),
                Err(part) => flat.push(part),
            }
        }
        match flat.len() {
            0 => Self::All,
            1 => flat.pop().unwrap_or(Self::All),
            _ => join(flat),
        }
    }

    /// Its terms, from left to right.
    pub fn terms(&self) -> Vec<&Term> {
        let mut found = Vec::new();
        self.collect(&mut found);
        found
    }

    fn collect<'a>(&'a self, found: &mut Vec<&'a Term>) {
        match self {
            Self::All => {}
            Self::Term(term) => found.push(term),
            Self::Not(inner) => inner.collect(found),
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.collect(found)),
        }
    }

    /// Whether its answer depends on who asks.
    #[must_use]
    pub fn is_personal(&self) -> bool {
        self.terms()
            .iter()
            .any(|term| matches!(term, Term::Assignee(Person::Me) | Term::Follower(Person::Me)))
    }

    /// Whether its answer changes with time alone.
    #[must_use]
    pub fn is_of_the_moment(&self) -> bool {
        self.terms().iter().any(|term| match term {
            Term::Time(_, _, moment) => moment.is_relative(),
            Term::Is(Is::Overdue) => true,
            _ => false,
        })
    }

    /// Whether it asks for words.
    #[must_use]
    pub fn has_texts(&self) -> bool {
        self.terms().iter().any(|term| term.is_text())
    }

    /// The texts that it asks for, each once.
    #[must_use]
    pub fn texts(&self) -> Vec<&Term> {
        let mut texts: Vec<&Term> = Vec::new();
        for term in self.terms().into_iter().filter(|term| term.is_text()) {
            if !texts.contains(&term) {
                texts.push(term);
            }
        }
        texts
    }

    /// The texts that a ticket may be found by: not those under a `-`.
    #[must_use]
    pub fn wanted_texts(&self) -> Vec<&Term> {
        match self {
            Self::Term(term) if term.is_text() => vec![term],
            Self::All | Self::Term(_) | Self::Not(_) => Vec::new(),
            Self::And(parts) | Self::Or(parts) => parts.iter().flat_map(Self::wanted_texts).collect(),
        }
    }
}

impl Term {
    /// Whether it is a word or phrase.
    #[must_use]
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Word(_) | Self::Phrase(_))
    }

    /// The words to look for, where it is a text.
    #[must_use]
    pub fn phrase(&self) -> Option<WordPhrase> {
        match self {
            Self::Word(text) | Self::Phrase(text) => phrase(text),
            _ => None,
        }
    }
}
