//! Uses of replies: each message's one is counted once, and goes where the message goes.

use serde::{Deserialize, Serialize};

use super::replies::{Replies, Reply, Worth, deepest};
use crate::id::TicketId;
use crate::learn::intent::IntentId;
use crate::learn::lesson::Context;

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
    /// The last of the contexts that it was counted in.
    deepest: u64,
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
    pub(super) fn count_use(&mut self, reply: u64, how: How, context: &Context, lesson: u64) -> Option<Use> {
        self.update(reply, lesson, |reply| {
            let count = how.count(reply);
            *count = count.saturating_add(1);
        });
        let at = self.credit(reply, context, how.worth())?;
        Some(Use { reply, how, at, deepest: deepest(context) })
    }

    /// Counts that a reply was turned down.
    pub(super) fn reject(&mut self, reply: u64, context: &Context, lesson: u64) {
        self.update(reply, lesson, |reply| reply.rejected = reply.rejected.saturating_add(1));
        self.credit(reply, context, BAD);
    }

    /// Takes a use from the intent that it was counted for to this one, with the reply where it had no other use.
    pub(super) fn move_use(
        &mut self,
        used: Use,
        ticket: TicketId,
        intent: IntentId,
        context: &Context,
        lesson: u64,
    ) -> Option<Use> {
        let (from, reply) = self.find(used.reply)?;
        if from == intent {
            return Some(used);
        }
        let (template, language) = (reply.template.clone(), reply.language);
        let mut source = None;
        self.update(used.reply, lesson, |reply| {
            let count = used.how.count(reply);
            *count = count.saturating_sub(1);
            let place = reply.from.iter().position(|source| source.ticket == ticket);
            source = place.map(|place| reply.from.remove(place));
        });
        self.take_back(used.reply, context, used.deepest, used.how.worth(), used.at);
        self.drop_unused(from, used.reply);
        let reply = self.place(intent, template, language, lesson);
        source.into_iter().for_each(|source| self.update(reply, lesson, |reply| reply.comes_from(source)));
        self.count_use(reply, used.how, context, lesson)
    }
}

#[cfg(test)]
mod tests {
    use super::super::template::Template;
    use super::*;
    use crate::id::{QueueId, Version};
    use crate::learn::dialogue::{Person, wording_of};
    use crate::learn::language::Language;
    use crate::learn::suggestion::Source;

    #[test]
    fn a_use_goes_from_one_intent_to_another_and_nothing_of_it_stays() {
        let (one, other, ticket) = (IntentId(1), IntentId(2), TicketId(7));
        let context = Context { language: Language::English, queue: QueueId(1), turn: 1, tags: Vec::new() };
        let template =
            Template::of(&wording_of("we send you a label today", &Person::of("", None)), |_| false);
        let mut replies = Replies::default();
        let write = |replies: &mut Replies, ticket: TicketId, lesson: u64| {
            let reply = replies.place(one, template.clone(), Language::English, lesson);
            let source = Source { ticket, version: Version(2) };
            replies.update(reply, lesson, |reply| reply.comes_from(source));
            replies.count_use(reply, How::Written, &context, lesson).unwrap()
        };
        write(&mut replies, TicketId(6), 1);
        let before = replies.find(1).unwrap().1.clone();
        let used = write(&mut replies, ticket, 2);
        let tagged = Context { tags: vec!["intent:other".to_owned()], ..context.clone() };
        let moved = replies.move_use(used, ticket, other, &tagged, 3).unwrap();
        let (of, reply) = replies.find(moved.reply).unwrap();
        assert_eq!((of, reply.written, reply.from.len()), (other, 1, 1));
        let after = replies.find(used.reply).unwrap().1;
        assert_eq!((after.written, &after.from), (1, &before.from));
        for context in [&context, &tagged] {
            let ranked = replies.ranked(one, context);
            assert_eq!(ranked.len(), 1);
        }
        let back = replies.move_use(moved, ticket, one, &context, 4).unwrap();
        assert_eq!(replies.find(back.reply).unwrap().1.written, 2);
        assert_eq!((replies.count(other), replies.len()), (0, 1), "its last use was taken");
        assert_eq!(replies.move_use(back, ticket, one, &context, 5), Some(back));
    }
}
