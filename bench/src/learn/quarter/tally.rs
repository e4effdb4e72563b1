//! What is counted of a week.

use std::collections::BTreeMap;

use super::world::Act;
use crate::result::Figures;

/// What was suggested for one message, beside what is true of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// The assistant says that it knows.
    pub is_known: bool,
    /// Its first reply is one of the intent's.
    pub is_right: bool,
    /// One of its three is.
    pub is_in_three: bool,
    /// The intent that it holds likeliest is the right one.
    pub is_intent: bool,
}

/// Counts of messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub asked: u64,
    pub known: u64,
    pub right: u64,
    pub in_three: u64,
    pub intent: u64,
    /// Replies that were sent as suggested.
    pub accepted: u64,
    /// Replies that were sent with changes.
    pub edited: u64,
}

/// One week.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Week {
    /// The model that learns, on the week's dialogues as they came.
    pub live: Tally,
    /// Models as they were at the end of a week, on the same dialogues.
    pub frozen: BTreeMap<usize, Tally>,
    /// The model at the week's end, on the messages that nobody answers.
    pub held_out: Tally,
    /// Its snapshot.
    pub model_mib: f64,
}

impl Tally {
    pub(super) fn add(&mut self, seen: &Seen) {
        self.asked += 1;
        self.known += u64::from(seen.is_known);
        self.right += u64::from(seen.is_right);
        self.in_three += u64::from(seen.is_in_three);
        self.intent += u64::from(seen.is_intent);
    }

    pub(super) fn add_act(&mut self, act: &Act) {
        self.accepted += u64::from(act.is_suggested && !act.is_edited);
        self.edited += u64::from(act.is_suggested && act.is_edited);
    }

    fn figures(&self, what: &str, figures: &mut Figures) {
        let share = |count: u64, of: u64| 100.0 * count as f64 / of.max(1) as f64;
        let mut add = |name: &str, value: f64| figures.insert(format!("{what}_{name}_percent"), value);
        add("known", share(self.known, self.asked));
        add("right", share(self.right, self.asked));
        add("in_three", share(self.in_three, self.asked));
        add("intent", share(self.intent, self.asked));
        if self.known > 0 {
            add("right_of_known", share(self.right, self.known));
        }
        if self.accepted + self.edited > 0 {
            add("accepted", share(self.accepted, self.asked));
            add("edited", share(self.edited, self.asked));
        }
    }
}

impl Week {
    /// Shares in percent by name, and how many points the week has brought.
    pub(super) fn figures(&self, before: Option<&Self>) -> Figures {
        let mut figures = Figures::new();
        self.live.figures("live", &mut figures);
        self.held_out.figures("held_out", &mut figures);
        for (since, tally) in &self.frozen {
            tally.figures(&format!("frozen_{since}"), &mut figures);
        }
        let mut gained = |name: &str, of: fn(&Tally) -> u64| {
            let share = |tally: &Tally| 100.0 * of(tally) as f64 / tally.asked.max(1) as f64;
            let before = before.map_or(0.0, |week| share(&week.held_out));
            figures.insert(name.to_owned(), share(&self.held_out) - before);
        };
        gained("gained_points", |tally| tally.right);
        gained("gained_intent_points", |tally| tally.intent);
        figures.insert("snapshot_mib".into(), self.model_mib);
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_gains_what_its_end_has_more_than_its_start() {
        let week =
            |right| Week { held_out: Tally { asked: 10, right, ..Tally::default() }, ..Week::default() };
        assert_eq!(week(4).figures(None)["gained_points"], 40.0);
        assert_eq!(week(7).figures(Some(&week(4)))["gained_points"], 30.0);
        assert!(!week(4).figures(None).contains_key("held_out_right_of_known_percent"));
    }
}
