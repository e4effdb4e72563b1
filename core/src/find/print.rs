//! The one form in which a query is printed: what it is read from again is the same query.

use std::fmt::{self, Display};

use super::query::{COMPARES, Compare, Pattern, PatternEnd, Person, Query, Term};

impl Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => Ok(()),
            Self::Term(term) => term.fmt(f),
            Self::Not(inner) => {
                f.write_str("-")?;
                match &**inner {
                    Self::Term(term) => term.fmt(f),
                    other => write!(f, "({other})"),
                }
            }
            Self::And(parts) => joined(f, parts, " ", |part| matches!(part, Self::Or(_) | Self::And(_))),
            Self::Or(parts) => joined(f, parts, " OR ", |part| matches!(part, Self::Or(_))),
        }
    }
}

fn joined(
    f: &mut fmt::Formatter<'_>,
    parts: &[Query],
    between: &str,
    needs_brackets: fn(&Query) -> bool,
) -> fmt::Result {
    for (place, part) in parts.iter().enumerate() {
        f.write_str(if place == 0 { "" } else { between })?;
        if needs_brackets(part) { write!(f, "({part})") } else { part.fmt(f) }?;
    }
    Ok(())
}

impl Display for Compare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = COMPARES.iter().find(|(compare, _)| compare == self);
        f.write_str(sign.map_or(":", |(_, sign)| sign))
    }
}

impl Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(name) => write!(f, "status:{}", Plain(name)),
            Self::Category(category) => write!(f, "category:{}", category.name()),
            Self::Queue(name) => write!(f, "queue:{}", Plain(name)),
            Self::Assignee(person) => write!(f, "assignee:{person}"),
            Self::Follower(person) => write!(f, "follower:{person}"),
            Self::Priority(compare, priority) => write!(f, "priority{compare}{}", priority.name()),
            Self::Requester(pattern) => write!(f, "requester:{pattern}"),
            Self::Tag(pattern) => write!(f, "tag:{pattern}"),
            Self::Channel(pattern) => write!(f, "channel:{pattern}"),
            Self::Field(name, compare, pattern) => write!(f, "field.{name}{compare}{pattern}"),
            Self::Id(compare, id) => write!(f, "id{compare}{id}"),
            Self::Time(instant, compare, moment) => write!(f, "{}{compare}{moment}", instant.name()),
            Self::Has(has) => write!(f, "has:{}", has.name()),
            Self::Is(is) => write!(f, "is:{}", is.name()),
            Self::Word(word) => f.write_str(word),
            Self::Phrase(phrase) => Quoted(phrase).fmt(f),
        }
    }
}

impl Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Me => f.write_str("me"),
            Self::Nobody => f.write_str("none"),
            Self::Named(name) if matches!(name.as_str(), "me" | "none") => Quoted(name).fmt(f),
            Self::Named(name) => Plain(name).fmt(f),
        }
    }
}

impl Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ends {
            // What cannot stand without quotes cannot have a star either: it was not read from a text.
            PatternEnd::Anywhere => write!(f, "{}*", self.text),
            PatternEnd::Here if self.text.ends_with('*') => Quoted(&self.text).fmt(f),
            PatternEnd::Here => Plain(&self.text).fmt(f),
        }
    }
}

/// A value, in quotes where it needs them.
struct Plain<'a>(&'a str);

impl Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let needs_quotes = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | '"');
        if self.0.is_empty() || self.0.starts_with('=') || self.0.contains(needs_quotes) {
            return Quoted(self.0).fmt(f);
        }
        f.write_str(self.0)
    }
}

struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            if matches!(c, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        f.write_str("\"")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pieces that queries are made of, and pieces that break them.
    fn text() -> impl Strategy<Value = String> {
        let pieces = prop::sample::select(vec![
            "status:open",
            "queue:\"a b\"",
            "assignee:me",
            "assignee:\"none\"",
            "tag:re*",
            "tag:\"x*\"",
            "-",
            "(",
            ")",
            " ",
            "OR",
            "or",
            "\"a b\"",
            "\"",
            "word",
            "created>=2026-01-01",
            "due<-36h",
            "updated:today",
            "field.size>3",
            "field.a.b:=c",
            "priority<high",
            "is:overdue",
            "has:tag",
            "id<=7",
            "category:new",
            "channel:mail",
            "requester:ana@example.com",
            "follower:7",
            "退款",
            "\\",
            "tag:a\\b",
            "x:y",
            ">",
            "*",
            ":",
        ]);
        prop::collection::vec(prop_oneof![4 => pieces.prop_map(str::to_owned), 1 => "\\PC{0,4}"], 0..14)
            .prop_flat_map(|pieces| prop::sample::select(vec![" ", ""]).prop_map(move |gap| pieces.join(gap)))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn a_printed_query_is_the_same_query(text in text()) {
            if let Ok(query) = Query::parse(&text) {
                let printed = query.to_string();
                prop_assert_eq!(Query::parse(&printed), Ok(query), "{}", printed);
            }
        }
    }
}
