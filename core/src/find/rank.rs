//! Which of the tickets with the words that were asked for come first.

use std::collections::BTreeMap;

use crate::id::{TicketId, Version};

/// How much more a word counts in what a ticket is about than in one of its messages.
const ABOUT: f64 = 3.0;

/// A ticket that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Which.
    pub ticket: TicketId,
    /// The event with the text that is shown: the one with the rarest word; 0 for what the ticket is about.
    pub version: Version,
    /// Higher comes first.
    pub score: f64,
}

/// Texts that have one of the words, each by ticket and event.
pub type TermRows = Vec<(TicketId, Version)>;

/// The tickets that `is_wanted`, best first, at most `limit`. Rare words count more, further texts with the same word
/// less and less; of those that are alike the newest come first.
#[must_use]
pub fn rank(
    terms: &[TermRows],
    tickets: u64,
    is_wanted: impl Fn(TicketId) -> bool,
    limit: usize,
) -> Vec<Hit> {
    // Counts are far below what a double holds exactly.
    let rarity = |rows: &TermRows| (1.0 + tickets as f64 / (1.0 + rows.len() as f64)).ln();
    let mut found: BTreeMap<TicketId, (Hit, f64)> = BTreeMap::new();
    for rows in terms {
        let rarity = rarity(rows);
        for of_ticket in rows.chunk_by(|one, next| one.0 == next.0) {
            let Some((ticket, _)) = of_ticket.first().copied().filter(|(ticket, _)| is_wanted(*ticket))
            else {
                continue;
            };
            let is_about = of_ticket.iter().any(|(_, version)| version.0 == 0);
            let messages = of_ticket.iter().filter(|(_, version)| version.0 != 0).count() as f64;
            let score = rarity * (messages / (messages + 1.0) + if is_about { ABOUT } else { 0.0 });
            // The newest message, or else what it is about.
            let version = of_ticket.iter().map(|(_, version)| *version).max().unwrap_or_default();
            let hit = Hit { ticket, version, score: 0.0 };
            let (known, rarest) = found.entry(ticket).or_insert((hit, rarity));
            known.score += score;
            if rarity > *rarest {
                (known.version, *rarest) = (version, rarity);
            }
        }
    }
    let mut hits: Vec<Hit> = found.into_values().map(|(hit, _)| hit).collect();
    hits.sort_unstable_by(|one, other| other.score.total_cmp(&one.score).then(other.ticket.cmp(&one.ticket)));
    hits.truncate(limit);
    hits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_words_and_subjects_come_first() {
        let row = |ticket, version| (TicketId(ticket), Version(version));
        let common = vec![row(9, 2), row(8, 1), row(7, 3), row(7, 2), row(7, 1), row(4, 1), row(3, 0)];
        let rare = vec![row(4, 5)];
        let hits = rank(&[common, rare], 100, |ticket| ticket.0 != 8, 10);
        let order: Vec<_> = hits.iter().map(|hit| (hit.ticket.0, hit.version.0)).collect();
        assert_eq!(order, [(3, 0), (4, 5), (7, 3), (9, 2)]);
        assert_eq!(rank(&[vec![row(1, 1), row(2, 1)]], 2, |_| true, 1).len(), 1);
    }
}
