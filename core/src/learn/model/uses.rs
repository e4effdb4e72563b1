//! Uses of replies: each message's one is counted once, and goes where the message goes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::replies::{Path, Replies, Reply, Worth, path};
use crate::learn::intent::IntentId;
use crate::learn::lesson::Context;
use crate::learn::suggestion::Source;

pub(super) const GOOD: Worth = Worth { good: 1.0, bad: 0.0 };
const HALF_GOOD: Worth = Worth { good: 0.5, bad: 0.5 };
const BAD: Worth = Worth { good: 0.0, bad: 1.0 };

/// How a reply was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum How {
    /// It was sent as suggested.
    Accepted,
    /// It was sent with changes.
    Edited,
    /// An agent wrote it.
    Written,
}

/// A reply's use for one message.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Use {
    pub(super) reply: u64,
    how: How,
    /// Uses of its intent by then.
    at: u32,
    /// The contexts that it was counted in.
    path: Path,
    /// Where it was sent, unless only a verdict says so.
    source: Option<Source>,
}

/// What was counted for one message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Counted {
    /// Its one use.
    pub(super) used: Option<Use>,
    /// The suggestion that an agent has changed so much that what was sent is another reply.
    edited: Option<Use>,
}

impl Use {
    /// A merge has moved its reply, to another clock.
    fn follow(&mut self, moved: &Moved) {
        if let Some(reply) = moved.became.get(&self.reply) {
            self.reply = *reply;
            self.at = moved.into.saturating_sub(moved.from.saturating_sub(self.at));
        }
    }
}

impl Counted {
    /// Takes over where a merge has moved replies to.
    pub(super) fn follow(&mut self, moved: &Moved) {
        for used in [&mut self.used, &mut self.edited].into_iter().flatten() {
            used.follow(moved);
        }
    }
}

/// Replies that went from one intent to another.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// What each of them is now.
    pub(super) became: BTreeMap<u64, u64>,
    /// Uses of the one intent by then.
    pub(super) from: u32,
    /// Uses of the other one.
    pub(super) into: u32,
}

impl How {
    fn worth(self) -> Worth {
        match self {
            Self::Accepted | Self::Written => GOOD,
            Self::Edited => HALF_GOOD,
        }
    }

    fn count(self, reply: &mut Reply) -> &mut u32 {
        match self {
            Self::Accepted => &mut reply.accepted,
            Self::Edited => &mut reply.edited,
            Self::Written => &mut reply.written,
        }
    }
}

impl Replies {
    /// Counts a use; nothing where there is no such reply.
    fn count_use(&mut self, reply: u64, how: How, path: Path, lesson: u64) -> Option<Use> {
        self.update(reply, lesson, |reply| {
            let count = how.count(reply);
            *count = count.saturating_add(1);
        });
        let at = self.credit_path(reply, &path, how.worth())?;
        Some(Use { reply, how, at, path, source: None })
    }

    /// Counts a reply for a message, in the place of what was counted for it before: the newest word counts, and the same
    /// reply is not counted again. A suggestion that was changed may stay beside what an agent has made of it.
    pub(super) fn count_once(
        &mut self,
        before: Counted,
        reply: u64,
        how: How,
        context: &Context,
        lesson: u64,
    ) -> Counted {
        let Counted { used, edited } = before;
        let is_it = |used: Option<Use>| used.is_some_and(|used| used.reply == reply);
        if is_it(used) || how == How::Edited && is_it(edited) {
            return before;
        }
        let (gone, mut counted) = match (how, used.map(|used| used.how)) {
            (How::Edited, Some(How::Written)) => ([edited, None], Counted { used, edited: None }),
            (How::Written, Some(How::Edited)) => ([edited, None], Counted { used: None, edited: used }),
            (How::Written, _) if !is_it(edited) => ([used, None], Counted { used: None, edited }),
            _ => ([used, edited], Counted::default()),
        };
        gone.into_iter().flatten().for_each(|gone| self.take_use(gone, lesson));
        let place = if counted.used.is_none() { &mut counted.used } else { &mut counted.edited };
        *place = self.count_use(reply, how, path(context), lesson);
        counted
    }

    /// Takes note of where a message's reply was sent.
    pub(super) fn comes_from(&mut self, used: &mut Use, source: Source, lesson: u64) {
        let before = used.source.replace(source);
        self.update(used.reply, lesson, |reply| {
            reply.from.retain(|known| Some(*known) != before);
            reply.comes_from(source);
        });
    }

    /// Counts that a reply was turned down.
    pub(super) fn reject(&mut self, reply: u64, context: &Context, lesson: u64) {
        self.update(reply, lesson, |reply| reply.rejected = reply.rejected.saturating_add(1));
        self.credit(reply, context, BAD);
    }

    /// Takes a use back where it was counted, and the reply where it had no other one.
    fn take_use(&mut self, used: Use, lesson: u64) {
        let Some((intent, _)) = self.find(used.reply) else { return };
        self.update(used.reply, lesson, |reply| {
            let count = used.how.count(reply);
            *count = count.saturating_sub(1);
            reply.from.retain(|source| Some(*source) != used.source);
        });
        self.take_back(used.reply, &used.path, used.how.worth(), used.at);
        self.drop_unused(intent, used.reply);
    }

    /// Takes a use from the intent that it was counted for to this one, with the reply where it had no other use. It stays
    /// in the contexts that it was counted in: whoever moves it may be in another queue.
    pub(super) fn move_use(&mut self, used: Use, intent: IntentId, lesson: u64) -> Option<Use> {
        let (from, reply) = self.find(used.reply)?;
        if from == intent {
            return Some(used);
        }
        let (template, language) = (reply.template.clone(), reply.language);
        self.take_use(used, lesson);
        let reply = self.place(intent, template, language, lesson);
        let mut moved = self.count_use(reply, used.how, used.path, lesson)?;
        if let Some(source) = used.source {
            self.comes_from(&mut moved, source, lesson);
        }
        Some(moved)
    }
}

#[cfg(test)]
mod tests {
    use super::super::template::Template;
    use super::*;
    use crate::id::{QueueId, TicketId, Version};
    use crate::learn::dialogue::{Person, wording_of};
    use crate::learn::language::Language;

    #[test]
    fn a_use_goes_from_one_intent_to_another_and_nothing_of_it_stays() {
        let (one, other, ticket) = (IntentId(1), IntentId(2), TicketId(7));
        let context = Context { language: Language::English, queue: QueueId(1), turn: 1, tags: Vec::new() };
        let template =
            Template::of(&wording_of("we send you a label today", &Person::of("", None)), |_| false);
        let mut replies = Replies::default();
        let write = |replies: &mut Replies, version: u32, lesson: u64| {
            let reply = replies.place(one, template.clone(), Language::English, lesson);
            let counted = replies.count_once(Counted::default(), reply, How::Written, &context, lesson).used;
            let mut used = counted.unwrap();
            replies.comes_from(&mut used, Source { ticket, version: Version(version) }, lesson);
            used
        };
        // Two messages of one ticket: the one whose label changes takes its own source along.
        let used = write(&mut replies, 2, 1);
        write(&mut replies, 4, 2);
        let moved = replies.move_use(used, other, 3).unwrap();
        let (of, reply) = replies.find(moved.reply).unwrap();
        assert_eq!(
            (of, reply.written, reply.from.first().map(|source| source.version)),
            (other, 1, Some(Version(2)))
        );
        let left = replies.find(used.reply).unwrap().1;
        assert_eq!((left.written, left.from.len(), left.from[0].version), (1, 1, Version(4)));
        // Both stay in the queue that they were sent in, and come up nowhere else.
        let elsewhere = Context { queue: QueueId(2), ..context.clone() };
        for intent in [one, other] {
            assert_eq!(
                (replies.ranked(intent, &context).len(), replies.ranked(intent, &elsewhere).len()),
                (1, 0)
            );
        }
        let back = replies.move_use(moved, one, 4).unwrap();
        assert_eq!(replies.find(back.reply).unwrap().1.written, 2);
        assert_eq!((replies.count(other), replies.len()), (0, 1), "its last use was taken");
        assert_eq!(replies.move_use(back, one, 5), Some(back));
    }

    #[test]
    fn a_use_is_taken_back_on_the_clock_of_the_intent_that_it_went_to() {
        let [few, many, other] = [1, 2, 3].map(IntentId);
        let context =
            |queue| Context { language: Language::English, queue: QueueId(queue), turn: 1, tags: Vec::new() };
        let template = |text| Template::of(&wording_of(text, &Person::of("", None)), |_| false);
        let mut replies = Replies::default();
        let mut write = |intent, text, queue| {
            let reply = replies.place(intent, template(text), Language::English, 1);
            replies.count_once(Counted::default(), reply, How::Written, &context(queue), 1)
        };
        let mut counted = write(few, "we send you a label today", 1);
        write(few, "we send you a label today", 2);
        (0..100).for_each(|_| {
            write(many, "please bring the parcel back to our shop", 1);
        });
        let moved = replies.merge(few, many);
        counted.follow(&moved);
        let used = counted.used.unwrap();
        let shown = |replies: &Replies, queue| replies.is_shown(used.reply, QueueId(queue));
        assert!(shown(&replies, 1) && shown(&replies, 2));
        replies.move_use(used, other, 2).unwrap();
        assert!(!shown(&replies, 1) && shown(&replies, 2), "nothing of it stays in its queue");
    }
}
