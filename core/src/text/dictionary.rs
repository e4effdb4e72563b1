//! Words of languages that are written without spaces, by a dictionary.

/// Tells the words of more than one character that a Chinese dictionary has in `text`.
#[cfg(feature = "chinese")]
pub(crate) fn dictionary_words(text: &str, mut found: impl FnMut(&str)) {
    use std::sync::LazyLock;

    use jieba_rs::Jieba;

    static DICTIONARY: LazyLock<Jieba> = LazyLock::new(Jieba::new);

    let is_chinese = |c: char| matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}');
    if text.contains(is_chinese) {
        // Without the guesses of its hidden Markov model: only what the dictionary has.
        for token in DICTIONARY.cut(text, false) {
            if token.word.chars().filter(|c| is_chinese(*c)).count() > 1 {
                found(token.word);
            }
        }
    }
}

/// Without a dictionary there are none: pairs of characters are found all the same.
#[cfg(not(feature = "chinese"))]
pub(crate) fn dictionary_words(_text: &str, _found: impl FnMut(&str)) {}

#[cfg(all(test, feature = "chinese"))]
mod tests {
    use super::*;

    #[test]
    fn the_dictionary_has_words() {
        let mut words = Vec::new();
        dictionary_words("我的包裹还没有收到 parcel", |word| words.push(word.to_owned()));
        assert_eq!(words, ["包裹", "没有", "收到"]);
    }
}
