//! One file, one idea; a function fits a screen.

use super::Violation;
use super::source::{body_start, item_end, line_of, words};
use super::tree::Tree;

/// Most lines in a Rust source; most files should stay under half of it.
const FILE_LINES_MAX: usize = 600;

/// Most lines in a function, from its `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 100;

/// Checks the length of every Rust source.
pub(crate) fn check_files(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in tree.rust() {
        let lines = file.text.lines().count();
        if lines > FILE_LINES_MAX {
            violations.push(Violation {
                rule: "file-size",
                path: file.path.clone(),
                line: 0,
                item: String::new(),
                message: format!(
                    "{lines} lines, of at most {FILE_LINES_MAX}: it holds more than one idea, split it"
                ),
            });
        }
    }
    violations
}

/// Checks the length of every function.
pub(crate) fn check_functions(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in tree.rust() {
        for function in functions(&file.code) {
            if function.lines > FUNCTION_LINES_MAX {
                violations.push(Violation {
                    rule: "function-size",
                    path: file.path.clone(),
                    line: function.line,
                    item: function.name.to_owned(),
                    message: format!(
                        "`{}` has {} lines, of at most {FUNCTION_LINES_MAX}: name its parts",
                        function.name, function.lines
                    ),
                });
            }
        }
    }
    violations
}

struct Function<'a> {
    name: &'a str,
    line: usize,
    lines: usize,
}

/// The functions with a body, inner ones included.
fn functions(code: &str) -> Vec<Function<'_>> {
    let mut found = Vec::new();
    let mut all = words(code).peekable();
    while let Some((at, word)) = all.next() {
        // A function pointer's type, `fn(u8)`, has no name right behind it.
        let named = all.peek().filter(|(next, _)| word == "fn" && code[at + 2..*next].trim().is_empty());
        if let Some((_, name)) = named
            && body_start(code, at).is_some()
        {
            let line = line_of(code, at);
            found.push(Function { name, line, lines: line_of(code, item_end(code, at)) - line + 1 });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function_of(lines: usize) -> String {
        format!("fn long(x: [u8; 4]) {{\n{}}}\n", "    call();\n".repeat(lines - 2))
    }

    #[test]
    fn fires_one_line_past_the_file_limit() {
        let at_limit = "// x\n".repeat(FILE_LINES_MAX);
        assert!(check_files(&Tree::of(&[("a.rs", &at_limit)])).is_empty());
        let past = check_files(&Tree::of(&[("a.rs", &format!("{at_limit}// x\n"))]));
        assert_eq!((past.len(), past[0].rule), (1, "file-size"));
        assert!(check_files(&Tree::of(&[("a.json", &format!("{at_limit}// x\n"))])).is_empty());
    }

    #[test]
    fn fires_one_line_past_the_function_limit() {
        assert!(check_functions(&Tree::of(&[("a.rs", &function_of(FUNCTION_LINES_MAX))])).is_empty());
        let past = check_functions(&Tree::of(&[("a.rs", &function_of(FUNCTION_LINES_MAX + 1))]));
        assert_eq!((past.len(), past[0].item.as_str(), past[0].line), (1, "long", 1));
    }

    #[test]
    fn finds_functions_with_bodies() {
        let code = "trait T { fn a(&self); fn b(&self) {} }\ntype F = fn(u8);\nfn c() {\n  fn d() {}\n}";
        let found: Vec<_> = functions(code).into_iter().map(|f| (f.name, f.line, f.lines)).collect();
        assert_eq!(found, [("b", 1, 1), ("c", 3, 3), ("d", 4, 1)]);
    }
}
