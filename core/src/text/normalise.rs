//! One spelling for what reads the same.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::is_nfkc_quick;

/// A text in Unicode's form NFKC and in lower case, without controls, with single spaces between words. At most
/// `bytes_max` bytes of `text` are looked at.
#[must_use]
pub fn normalise(text: &str, bytes_max: usize) -> String {
    let text = text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default();
    let mut normal = String::with_capacity(text.len());
    if text.is_ascii() {
        text.chars().for_each(|c| push(&mut normal, c.to_ascii_lowercase()));
    } else if is_nfkc_quick(text.chars()) == unicode_normalization::IsNormalized::Yes {
        text.chars().flat_map(char::to_lowercase).for_each(|c| push(&mut normal, c));
    } else {
        // What lower case makes of a letter may be one that NFKC writes otherwise.
        text.nfkc().flat_map(char::to_lowercase).nfkc().for_each(|c| push(&mut normal, c));
    }
    if normal.ends_with(' ') {
        normal.pop();
    }
    normal
}

fn push(normal: &mut String, c: char) {
    if !c.is_whitespace() && !c.is_control() {
        normal.push(c);
    } else if !normal.is_empty() && !normal.ends_with(' ') {
        normal.push(' ');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_reads_the_same_is_the_same() {
        for (text, wanted) in [
            ("  Lost\t\u{0}CARD\n", "lost card"),
            ("ＡＢＣ１２", "abc12"),
            ("Ｃafe\u{301}", "café"),
            ("ﬁne 😀", "fine 😀"),
        ] {
            assert_eq!(normalise(text, 100), wanted);
        }
        assert_eq!(normalise("äöü", 3), "ä");
    }

    proptest! {
        #[test]
        fn what_is_normal_stays(text in "\\PC{0,40}") {
            let once = normalise(&text, 1_000);
            prop_assert_eq!(normalise(&once, 10_000), once);
        }
    }
}
