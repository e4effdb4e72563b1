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
}

impl Already {
    /// `beyond` is the file's content after the saved length.
    pub(crate) fn new(beyond: &[u8]) -> Self {
        let mut lines: VecDeque<Vec<u8>> =
            beyond.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        let is_torn = lines.back().is_some_and(|line| !line.ends_with(b"\n"));
        let torn = if is_torn { lines.pop_back().unwrap_or_default() } else { Vec::new() };
        Self { lines, torn }
    }

    /// Appends to `out` what is still to be written of `line`, which ends with a newline.
    pub(crate) fn write(&mut self, line: &[u8], out: &mut Vec<u8>) {
        if let Some(found) = self.lines.iter().position(|held| held == line) {
            self.lines.drain(..=found);
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
        let mut already = Already::new(beyond.as_bytes());
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
    }
}
