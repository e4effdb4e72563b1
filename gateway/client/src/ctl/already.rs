//! What an output file already holds of the lines to come: how a killed `watch` repeats nothing.
//!
//! Lines are written first and the cursor is saved after, so a kill between the two leaves lines in the
//! file that the cursor does not cover. They are exactly the first of those that come again after the
//! restart, byte for byte, perhaps with one torn at the end. So each line that comes is looked for, in
//! order, in what the file held beyond the length saved with the cursor; what else is there (another
//! program's lines) is passed over and never touched.

use std::collections::VecDeque;

/// The part of the output that no saved cursor covers.
#[derive(Debug, Default)]
pub(crate) struct Already {
    lines: VecDeque<Vec<u8>>,
    /// After the last newline: a line that was torn.
    torn: Vec<u8>,
    /// Where in the file `lines` begin.
    from: u64,
}

impl Already {
    /// `beyond` is the file's content after the saved length `from`.
    pub(crate) fn new(from: u64, beyond: &[u8]) -> Self {
        let mut lines: VecDeque<Vec<u8>> =
            beyond.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        let is_torn = lines.back().is_some_and(|line| !line.ends_with(b"\n"));
        let torn = if is_torn { lines.pop_back().unwrap_or_default() } else { Vec::new() };
        Self { lines, torn, from }
    }

    /// Up to where the file holds only what the lines so far have accounted for; `None` for its end. To
    /// be saved with the cursor: lines that are there but have not come again yet are not covered by it.
    pub(crate) fn accounted_bytes(&self) -> Option<u64> {
        (!self.lines.is_empty() || !self.torn.is_empty()).then_some(self.from)
    }

    /// Appends to `out` what is still to be written of `line`, which ends with a newline.
    pub(crate) fn write(&mut self, line: &[u8], out: &mut Vec<u8>) {
        if let Some(found) = self.lines.iter().position(|held| held == line) {
            self.from += self.lines.drain(..=found).map(|held| held.len() as u64).sum::<u64>();
            return;
        }
        // Lines are in order: what comes after one that is not there is not there either.
        self.lines.clear();
        let torn = std::mem::take(&mut self.torn);
        match line.strip_prefix(torn.as_slice()) {
            Some(rest) => out.extend_from_slice(rest),
            None => {
                out.push(b'\n');
                out.extend_from_slice(line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn after(beyond: &str, lines: &[&str]) -> String {
        let mut already = Already::new(0, beyond.as_bytes());
        let mut out = beyond.as_bytes().to_vec();
        for line in lines {
            already.write(line.as_bytes(), &mut out);
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_is_written_twice_and_the_torn_is_completed() {
        let lines = ["one\n", "two\n", "three\n"];
        for beyond in ["", "o", "one\n", "one\ntw", "one\ntwo\n", "one\ntwo\nthree", "one\ntwo\nthree\n"] {
            assert_eq!(after(beyond, &lines), "one\ntwo\nthree\n", "{beyond:?}");
        }
    }

    #[test]
    fn what_others_wrote_stays() {
        assert_eq!(after("run 2\n", &["one\n"]), "run 2\none\n");
        assert_eq!(after("a notice\none\nrun 2\n", &["one\n", "two\n"]), "a notice\none\nrun 2\ntwo\n");
        assert_eq!(after("$ ", &["one\n"]), "$ \none\n");
    }

    proptest! {
        #[test]
        fn any_cut_is_mended(lines in prop::collection::vec("[ab]{0,3}", 0..20), cut in any::<prop::sample::Index>()) {
            // Lines of one session differ at least in their offset; equal ones must not harm either.
            let lines: Vec<String> = lines.into_iter().map(|line| format!("{line}\n")).collect();
            let whole = lines.concat();
            let held = &whole[..cut.index(whole.len() + 1)];
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            prop_assert_eq!(after(held, &lines), whole);
        }

        #[test]
        fn any_number_of_cuts_is_mended(cuts in prop::collection::vec((0_usize..30, 0_usize..60, any::<bool>()), 0..12)) {
            let lines: Vec<String> = (0..30).map(|number| format!("line {number}\n")).collect();
            // What the state file has: lines covered, and the file's length with it.
            let (mut covered, mut length, mut file) = (0, 0_u64, Vec::new());
            for (count, torn_bytes, is_saved) in cuts.into_iter().chain([(30, 0, true)]) {
                let mut already = Already::new(length, &file[length as usize..]);
                let mut out = Vec::new();
                let some = &lines[covered..(covered + count).min(lines.len())];
                some.iter().for_each(|line| already.write(line.as_bytes(), &mut out));
                // Killed in the middle of a write, or after it, or after the state was saved, too.
                let written = if is_saved { out.len() } else { out.len().saturating_sub(torn_bytes) };
                file.extend_from_slice(&out[..written]);
                if is_saved {
                    covered += some.len();
                    length = already.accounted_bytes().unwrap_or(file.len() as u64);
                }
            }
            prop_assert_eq!(String::from_utf8(file).unwrap(), lines.concat());
        }
    }
}
