//! Just enough reading of Rust to apply rules to it: no parser, but never fooled by comments or literals.

/// Blanks comments and the insides of string and character literals, so that what is left is code.
///
/// Every byte keeps its offset and every line its number.
pub(crate) fn mask(text: &str) -> String {
    blank(text, |_| true)
}

/// Blanks comments only; offsets and lines stay as well.
pub(crate) fn without_comments(text: &str) -> String {
    blank(text, |opening| opening == b'/')
}

/// Blanks the comments and literals for whose first byte `is_blanked` says so.
fn blank(text: &str, is_blanked: impl Fn(u8) -> bool) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_or_comment_end(bytes, at);
        if is_blanked(bytes[at]) {
            for byte in &mut out[at..end] {
                if *byte != b'\n' {
                    *byte = b' ';
                }
            }
        }
        at = if end > at { end } else { next(bytes, at) };
    }
    // Blanking covers whole characters only, so this cannot fail; were it to, no rule would see the file's code.
    String::from_utf8(out).unwrap_or_default()
}

/// The offset after the word or single byte at `at`.
fn next(bytes: &[u8], at: usize) -> usize {
    let word = bytes[at..].iter().take_while(|b| is_word(**b)).count();
    at + word.max(1)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Where the comment or literal that starts at `at` ends; `at` itself if none starts there.
fn literal_or_comment_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        return at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
    }
    if rest.starts_with(b"/*") {
        return block_comment_end(bytes, at);
    }
    let prefix = rest.iter().take_while(|b| matches!(b, b'b' | b'c' | b'r')).count();
    let raw = prefix > 0 && rest[prefix - 1] == b'r';
    let hashes = if raw { rest[prefix..].iter().take_while(|b| **b == b'#').count() } else { 0 };
    match rest.get(prefix + hashes) {
        Some(b'"') if raw => raw_string_end(bytes, at + prefix + hashes + 1, hashes),
        Some(b'"') => quoted_end(bytes, at + prefix + 1, b'"'),
        Some(b'\'') if hashes == 0 => char_end(bytes, at, at + prefix + 1),
        _ => at,
    }
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0_usize);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at.min(bytes.len())
}

fn raw_string_end(bytes: &[u8], from: usize, hashes: usize) -> usize {
    let mut at = from;
    while at < bytes.len() {
        let closing = bytes[at + 1..].iter().take(hashes).filter(|b| **b == b'#').count() == hashes;
        if bytes[at] == b'"' && closing {
            return at + 1 + hashes;
        }
        at += 1;
    }
    bytes.len()
}

fn quoted_end(bytes: &[u8], from: usize, quote: u8) -> usize {
    let mut at = from;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// A `'` opens a character only if a quote closes it after one character or an escape; else it is a lifetime.
fn char_end(bytes: &[u8], start: usize, from: usize) -> usize {
    match bytes.get(from) {
        Some(b'\\') => quoted_end(bytes, from, b'\''),
        Some(first) => {
            let width = match first {
                0xf0.. => 4,
                0xe0.. => 3,
                0xc0.. => 2,
                _ => 1,
            };
            if bytes.get(from + width) == Some(&b'\'') { from + width + 1 } else { start }
        }
        None => start,
    }
}

/// Blanks the items under `#[cfg(test)]` in masked code.
pub(crate) fn without_tests(code: &str) -> String {
    let mut out = code.as_bytes().to_vec();
    for marker in ["#[cfg(test)]", "#[cfg(all(test,"] {
        for (at, _) in code.match_indices(marker) {
            let end = item_end(code, at + marker.len());
            for byte in &mut out[at..end] {
                if *byte != b'\n' {
                    *byte = b' ';
                }
            }
        }
    }
    // Items begin and end at ASCII characters, so whole characters are blanked.
    String::from_utf8(out).unwrap_or_default()
}

/// Where the item around `from` ends: after its body's closing brace, or its `;`.
pub(crate) fn item_end(code: &str, from: usize) -> usize {
    match body_start(code, from) {
        Some(open) => closing_brace(code, open),
        None => semicolon(code, from).map_or(code.len(), |end| end + 1),
    }
}

/// The offset of the first `;` that stands in no brackets.
fn semicolon(code: &str, from: usize) -> Option<usize> {
    let mut depth = 0_i32;
    for (at, byte) in code.bytes().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b';' if depth <= 0 => return Some(at),
            _ => {}
        }
    }
    None
}

/// The offset of the `{` that opens the body of the item at `from`; `None` if a `;` ends it first.
pub(crate) fn body_start(code: &str, from: usize) -> Option<usize> {
    let mut depth = 0_i32;
    for (at, byte) in code.bytes().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' if depth <= 0 => return Some(at),
            b';' if depth <= 0 => return None,
            _ => {}
        }
    }
    None
}

/// The offset after the brace that closes the one at `open`.
fn closing_brace(code: &str, open: usize) -> usize {
    let mut depth = 0_i32;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

/// The words (identifiers and keywords) of masked code, with their offsets.
pub(crate) fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let bytes = code.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() && !is_word(bytes[at]) {
            at += 1;
        }
        let start = at;
        while at < bytes.len() && is_word(bytes[at]) {
            at += 1;
        }
        (start < at).then(|| (start, &code[start..at]))
    })
}

/// The line, from 1, of a byte offset.
pub(crate) fn line_of(code: &str, at: usize) -> usize {
    code.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_comments_and_literals_and_nothing_else() {
        let cases = [
            ("a // unsafe\nb", "a b"),
            ("a /* x /* y */ z */ b", "a b"),
            (r#"f("un\"safe") + 1"#, "f( ) + 1"),
            (r##"f(r#"a"b"#)"##, "f( )"),
            (r#"f(b"x", c"y", br"z\")"#, "f( , , )"),
            ("m('{', '\\'', b'}', 'é')", "m( , , , )"),
            ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
            ("'outer: loop {}", "'outer: loop {}"),
            ("r#type", "r#type"),
            ("bar\"x\"", "bar"),
            ("\"open", ""),
            ("é", "é"),
        ];
        for (text, code) in cases {
            let masked = mask(text);
            let words: Vec<_> = masked.split_whitespace().collect();
            assert_eq!(words.join(" "), code, "{text}");
            assert_eq!(masked.len(), text.len(), "{text}");
            assert_eq!(masked.lines().count(), text.lines().count(), "{text}");
        }
    }

    #[test]
    fn leaves_literals_where_only_comments_go() {
        assert_eq!(without_comments("a(\"// x\") // y").trim_end(), "a(\"// x\")");
    }

    #[test]
    fn blanks_test_items() {
        let code = "use a;\n#[cfg(test)]\nmod tests { fn f() {} }\nfn g() {}\n#[cfg(test)]\nuse b;\nuse c;";
        let left = without_tests(code);
        assert!(left.contains("use a;") && left.contains("fn g() {}") && left.contains("use c;"), "{left}");
        assert!(!left.contains("fn f") && !left.contains("use b"), "{left}");
        assert_eq!(left.lines().count(), code.lines().count());
    }

    #[test]
    fn an_item_ends_at_its_own_semicolon() {
        let code = "const A: [u8; 2] = [0; 2]; const B: u8 = 1;";
        assert_eq!(&code[..item_end(code, 0)], "const A: [u8; 2] = [0; 2];");
    }

    #[test]
    fn finds_words_and_lines() {
        let code = "fn a\n unsafe_code unsafe";
        let found: Vec<_> = words(code).map(|(at, word)| (line_of(code, at), word)).collect();
        assert_eq!(found, [(1, "fn"), (1, "a"), (2, "unsafe_code"), (2, "unsafe")]);
    }
}
