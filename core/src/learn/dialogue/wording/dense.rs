//! Masking where words have no spaces between them, as in Chinese.

use super::super::person::Person;
use super::super::vocabulary;
use super::{Piece, Said, SlotKind, said_word};

const HONORIFICS: [&str; 9] = ["先生", "女士", "小姐", "同学", "老师", "阁下", "太太", "さん", "様"];
const GREETINGS: [&str; 2] = ["您好", "你好"];
const DEAR: [&str; 2] = ["尊敬的", "亲爱的"];
/// Characters that end what may be a name in front of a title.
const NOT_OF_NAMES: [char; 16] =
    ['的', '这', '那', '位', '您', '你', '各', '是', '请', '和', '与', '给', '为', '对', '让', '把'];
const NAME_CHARS_MAX: usize = 4;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Plain,
    Suspect,
    Name,
}

/// Masks one run; also the hashes of what not everybody writes.
pub(super) fn mask(run: &str, person: &Person, said: &Said, starts_sentence: bool) -> (Vec<Piece>, Vec<u64>) {
    let chars: Vec<(usize, char)> = run.char_indices().collect();
    let mut is_known = Vec::with_capacity(chars.len());
    // Words of several characters are of no name.
    let mut is_word = Vec::with_capacity(chars.len());
    for (part, known) in vocabulary::cut(run) {
        let count = part.chars().count();
        is_known.extend(std::iter::repeat_n(known, count));
        is_word.extend(std::iter::repeat_n(known && count > 1, count));
    }
    let mut marks = vec![Mark::Plain; chars.len()];
    let place = |byte: usize| chars.partition_point(|(at, _)| *at < byte);
    mark_shared(&chars, &is_known, said, &mut marks);
    mark_named(&chars, &is_word, person, &mut marks);
    mark_titled(run, &chars, &is_word, starts_sentence, &mut marks);
    for name in [person.name.as_deref(), person.first_name(), person.last_name()].into_iter().flatten() {
        for (at, _) in run.match_indices(name) {
            let (from, until) = (place(at), place(at + name.len()));
            marks.iter_mut().take(until).skip(from).for_each(|mark| *mark = Mark::Name);
        }
    }
    pieces(&chars, &marks, &is_known)
}

/// What the customer has said, where it is not all of words that everybody writes.
fn mark_shared(chars: &[(usize, char)], is_known: &[bool], said: &Said, marks: &mut [Mark]) {
    let mut from = 0;
    for until in 1..=chars.len() {
        let is_joined = match (chars.get(until - 1), chars.get(until)) {
            (Some((_, one)), Some((_, next))) => said.has_pair((*one, *next)),
            _ => false,
        };
        if is_joined {
            continue;
        }
        let has_unknown = is_known.get(from..until).is_some_and(|known| known.contains(&false));
        if until - from >= 2 && has_unknown {
            marks.iter_mut().take(until).skip(from).for_each(|mark| *mark = Mark::Suspect);
        }
        from = until;
    }
}

/// Parts of the requester's name, where they are not of words that everybody writes.
fn mark_named(chars: &[(usize, char)], is_word: &[bool], person: &Person, marks: &mut [Mark]) {
    let pairs = chars.windows(2).zip(is_word.windows(2)).zip(1..);
    for ((pair, are_words), next) in pairs {
        if let [(_, one), (_, other)] = pair
            && person.has_pair((*one, *other))
            && are_words.contains(&false)
        {
            marks.iter_mut().take(next + 1).skip(next - 1).for_each(|mark| *mark = Mark::Suspect);
        }
    }
}

/// Names in front of titles and greetings, and behind `尊敬的`.
fn mark_titled(
    run: &str,
    chars: &[(usize, char)],
    is_word: &[bool],
    starts_sentence: bool,
    marks: &mut [Mark],
) {
    let place = |byte: usize| chars.partition_point(|(at, _)| *at < byte);
    let may_be_of_name = |at: usize| {
        let is_free = is_word.get(at).is_some_and(|is_word| !is_word);
        is_free && chars.get(at).is_some_and(|(_, c)| !NOT_OF_NAMES.contains(c))
    };
    let greetings = GREETINGS.iter().map(|sign| (*sign, false));
    for (sign, is_title) in HONORIFICS.iter().map(|sign| (*sign, true)).chain(greetings) {
        for (at, _) in run.match_indices(sign) {
            let end = place(at);
            let name = (0..end).rev().take(NAME_CHARS_MAX).take_while(|at| may_be_of_name(*at)).count();
            // Only at the beginning does a greeting follow a name.
            if name == 0 || (!is_title && (end != name || !starts_sentence)) {
                continue;
            }
            let until = if is_title { place(at + sign.len()) } else { end };
            marks.iter_mut().take(until).skip(end - name).for_each(|mark| *mark = Mark::Name);
        }
    }
    for sign in DEAR {
        for (at, _) in run.match_indices(sign) {
            let from = place(at + sign.len());
            let name = (from..chars.len()).take(NAME_CHARS_MAX).take_while(|at| may_be_of_name(*at)).count();
            marks.iter_mut().take(from + name).skip(from).for_each(|mark| *mark = Mark::Name);
        }
    }
}

fn pieces(chars: &[(usize, char)], marks: &[Mark], is_known: &[bool]) -> (Vec<Piece>, Vec<u64>) {
    let mut pieces = Vec::new();
    let mut words = Vec::new();
    let mut from = 0;
    while let Some(mark) = marks.get(from) {
        let until = from + marks.iter().skip(from).take_while(|other| *other == mark).count();
        let part: String = chars.iter().take(until).skip(from).map(|(_, c)| *c).collect();
        match mark {
            Mark::Name => pieces.push(Piece::Slot(SlotKind::FullName)),
            Mark::Suspect => {
                words.push(said_word(&part));
                pieces.push(Piece::Suspect(part));
            }
            Mark::Plain => {
                let unknown = is_known.get(from..until).unwrap_or_default();
                let mut at = from;
                for group in unknown.chunk_by(|one, next| one == next) {
                    if group.first() == Some(&false) {
                        let word: String = chars.iter().skip(at).take(group.len()).map(|(_, c)| *c).collect();
                        words.push(said_word(&word));
                    }
                    at += group.len();
                }
                pieces.push(Piece::Plain(part));
            }
        }
        from = until;
    }
    (pieces, words)
}
