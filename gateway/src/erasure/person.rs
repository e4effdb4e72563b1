//! Which tickets are a person's.

use serde::Deserialize;
use waggle_core::requester::Identity;

use crate::store::{Description, Requester};

/// By what a person's tickets are known.
pub(super) struct Person {
    /// Numbers, those that were merged into the first included.
    numbers: Vec<u64>,
    identities: Vec<Identity>,
}

#[derive(Deserialize)]
struct Extra {
    requester_id: Option<u64>,
}

impl Person {
    pub(super) fn of(requester: &Requester) -> Self {
        let numbers = [requester.id].into_iter().chain(requester.merged.iter().copied());
        Self { numbers: numbers.map(|id| id.0).collect(), identities: requester.identities.clone() }
    }

    /// Whether the ticket is the person's: it bears a number or is asked by an identity of his, also in the form
    /// `Kim <kim@example.com>`.
    pub(super) fn has(&self, ticket: &Description) -> bool {
        let address = ticket.requester.rsplit_once('<').and_then(|(_, rest)| rest.trim().strip_suffix('>'));
        let texts = [Some(ticket.requester.as_str()), address];
        let is_known = |text: &str| {
            let same =
                |identity: &Identity| Identity::parse(identity.kind(), text).is_ok_and(|it| it == *identity);
            self.identities.iter().any(same)
        };
        texts.into_iter().flatten().any(is_known) || self.is_numbered(&ticket.extra)
    }

    fn is_numbered(&self, extra: &str) -> bool {
        if !extra.contains("\"requester_id\":") {
            return false;
        }
        let number = serde_json::from_str::<Extra>(extra).ok().and_then(|extra| extra.requester_id);
        number.is_some_and(|number| self.numbers.contains(&number))
    }
}

#[cfg(test)]
mod tests {
    use waggle_core::id::{RequesterId, TicketId};
    use waggle_core::requester::IdentityKind;
    use waggle_core::time::Timestamp;

    use super::*;

    #[test]
    fn tickets_are_known_by_number_and_identity() {
        let identity = |kind, value| Identity::parse(kind, value).unwrap();
        let kim = Person::of(&Requester {
            id: RequesterId(5),
            name: "Kim".to_owned(),
            created_at: Timestamp(1),
            identities: vec![
                identity(IdentityKind::Email, "kim@example.com"),
                identity(IdentityKind::Phone, "+44 20 7946 0000"),
            ],
            merged: vec![RequesterId(3)],
            erasure: None,
        });
        for (requester, extra, is_his) in [
            ("kim@example.com", "{}", true),
            ("KIM@Example.com", "{}", true),
            ("Kim Lee <Kim@example.com>", "{}", true),
            ("+44 2079460000", "{}", true),
            ("Kim", r#"{"requester_id":5}"#, true),
            ("", r#"{"requester_id":3,"tags":{"a":true}}"#, true),
            ("Kim", "{}", false),
            ("akim@example.com", "{}", false),
            ("kim@example.com <lee@example.com>", "{}", false),
            ("Lee", r#"{"requester_id":4}"#, false),
            ("Lee", r#"{"fields":{"requester_id":5}}"#, false),
        ] {
            let ticket =
                Description { ticket: TicketId(1), requester: requester.to_owned(), extra: extra.to_owned() };
            assert_eq!(kim.has(&ticket), is_his, "{requester} {extra}");
        }
    }
}
