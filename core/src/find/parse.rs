//! From a text to a query: terms side by side all hold, `OR` binds them looser, `-` negates, brackets group.

use super::error::{QueryError, QueryFault};
use super::leaf;
use super::query::{Query, Term};
use super::tokens::{self, Piece, Token};
use crate::limits::{QUERY_BYTES_MAX, QUERY_DEPTH_MAX, QUERY_TERMS_MAX};

impl Query {
    /// Reads a query; the empty text asks for all tickets.
    ///
    /// # Errors
    /// Says where it is wrong, and what would be right.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        if text.len() > QUERY_BYTES_MAX {
            let fault = QueryFault::TooLong { bytes: text.len() };
            return Err(QueryError { position: 1, fault });
        }
        let mut parser = Parser { text, tokens: tokens::cut(text)?, next: 0, terms: 0 };
        if parser.tokens.is_empty() {
            return Ok(Self::All);
        }
        let query = parser.either(0)?;
        match parser.peek() {
            Some(token) => Err(parser.fault(token.at, QueryFault::Unopened)),
            None => Ok(query),
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token<'a>>,
    next: usize,
    terms: usize,
}

impl<'a> Parser<'a> {
    /// Alternatives, up to a `)` or the end.
    fn either(&mut self, depth: usize) -> Result<Query, QueryError> {
        let mut parts = vec![self.all_of(depth)?];
        while matches!(self.peek(), Some(Token { piece: Piece::Or, .. })) {
            self.next += 1;
            parts.push(self.all_of(depth)?);
        }
        Ok(Query::or(parts))
    }

    /// Terms side by side: at least one.
    fn all_of(&mut self, depth: usize) -> Result<Query, QueryError> {
        let mut parts = Vec::new();
        while let Some(token) = self.peek()
            && !matches!(token.piece, Piece::Or | Piece::Close)
        {
            parts.push(self.one(depth)?);
        }
        if parts.is_empty() {
            return Err(self.missing("here"));
        }
        Ok(Query::and(parts))
    }

    fn one(&mut self, depth: usize) -> Result<Query, QueryError> {
        let Some(token) = self.peek().cloned() else { return Err(self.missing("here")) };
        if depth >= QUERY_DEPTH_MAX {
            return Err(self.fault(token.at, QueryFault::TooDeep));
        }
        self.next += 1;
        match token.piece {
            Piece::Open => {
                let inner = self.either(depth + 1)?;
                match self.peek() {
                    Some(Token { piece: Piece::Close, .. }) => self.next += 1,
                    _ => return Err(self.fault(token.at, QueryFault::Unclosed)),
                }
                Ok(inner)
            }
            Piece::Minus => match self.peek() {
                None | Some(Token { piece: Piece::Or | Piece::Close, .. }) => Err(self.missing("after `-`")),
                Some(_) => Ok(match self.one(depth + 1)? {
                    Query::Not(inner) => *inner,
                    inner => Query::Not(Box::new(inner)),
                }),
            },
            Piece::Word(word) => self.term(token.at, leaf::text(word, Term::Word)),
            Piece::Phrase(phrase) => self.term(token.at, leaf::text(&phrase, Term::Phrase)),
            Piece::Pair { key, compare, value, value_at, is_quoted } => {
                let at = |fault: &QueryFault| {
                    let is_of_key =
                        matches!(fault, QueryFault::UnknownKey { .. } | QueryFault::NoOrder { .. });
                    if is_of_key { token.at } else { value_at }
                };
                match leaf::pair(key, compare, &value, is_quoted) {
                    Ok(term) => self.term(token.at, Ok(term)),
                    Err(fault) => Err(self.fault(at(&fault), fault)),
                }
            }
            // Asked for by `all_of` and by a bracket only, which stop before them.
            Piece::Close | Piece::Or => Err(self.missing("here")),
        }
    }

    fn term(&mut self, at: usize, term: Result<Term, QueryFault>) -> Result<Query, QueryError> {
        self.terms += 1;
        if self.terms > QUERY_TERMS_MAX {
            return Err(self.fault(at, QueryFault::TooManyTerms));
        }
        term.map(Query::Term).map_err(|fault| self.fault(at, fault))
    }

    fn peek(&self) -> Option<&Token<'a>> {
        self.tokens.get(self.next)
    }

    fn missing(&self, place: &'static str) -> QueryError {
        let at = self.peek().map_or(self.text.len(), |token| token.at);
        self.fault(at, QueryFault::NoTerm { place })
    }

    fn fault(&self, at: usize, fault: QueryFault) -> QueryError {
        QueryError { position: tokens::position(self.text, at), fault }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &str) -> String {
        Query::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).to_string()
    }

    #[test]
    fn queries_are_read_and_printed_in_one_form() {
        for (text, wanted) in [
            ("", ""),
            ("  status:open   queue:billing ", "status:open queue:billing"),
            ("(status:open)", "status:open"),
            ("a (b c) d", "a b c d"),
            ("a OR b c OR (d OR e)", "a OR b c OR d OR e"),
            ("(a or b) -c", "(a OR b) -c"),
            ("--a", "a"),
            ("-(a b)", "-(a b)"),
            ("Tag:Refund", "tag:refund"),
            ("tag:\"two words\"", "tag:\"two words\""),
            ("tag:re*", "tag:re*"),
            ("tag:\"re*\"", "tag:\"re*\""),
            ("priority>=HIGH", "priority>=high"),
            ("created>2026-01-01 due<+14d", "created>2026-01-01 due<+2w"),
            ("field.order_no:A17 field.size>3", "field.order_no:a17 field.size>3"),
            ("\"exact \\\"phrase\\\"\"", "\"exact \\\"phrase\\\"\""),
            ("https://example.com/a 12:30", "https://example.com/a 12:30"),
            ("assignee:none assignee:me assignee:\"me\"", "assignee:none assignee:me assignee:\"me\""),
            (
                "is:unassigned has:attachment id:17 category:on_hold",
                "is:unassigned has:attachment id:17 category:on_hold",
            ),
            ("退款 失败", "退款 失败"),
        ] {
            assert_eq!(printed(text), wanted, "{text}");
            assert_eq!(printed(wanted), wanted);
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, position, wanted) in [
            ("status:open colour:red", 13, "there is no \"colour\" to ask for; expected one of status"),
            ("é (a", 3, "not closed"),
            ("a )", 3, "no `(`"),
            ("()", 2, "expected a term"),
            ("a OR", 5, "expected a term"),
            ("OR a", 1, "expected a term"),
            ("-", 2, "after `-`"),
            ("a \"b", 3, "quote is not closed"),
            ("status:", 8, "status has no value; expected"),
            ("status:\"\"", 8, "no value"),
            ("created>yesterday", 9, "created is \"yesterday\"; expected a day"),
            ("priority:huge", 10, "expected low, normal, high or urgent"),
            ("tag>a", 1, "tag takes `:` only"),
            ("has:money", 5, "expected one of attachment"),
            ("is:red", 4, "expected one of assigned"),
            ("id:x", 4, "expected a ticket's number"),
            ("field.:a", 1, "there is no \"field.\""),
            ("category:red", 10, "expected one of new, open"),
        ] {
            let error = Query::parse(text).unwrap_err();
            assert!(error.position == position && error.to_string().contains(wanted), "{text}: {error}");
        }
    }

    #[test]
    fn queries_have_limits() {
        assert!(Query::parse(&"a".repeat(QUERY_BYTES_MAX)).is_ok());
        let fault = |text: &str| Query::parse(text).unwrap_err().fault;
        assert_eq!(
            fault(&"a".repeat(QUERY_BYTES_MAX + 1)),
            QueryFault::TooLong { bytes: QUERY_BYTES_MAX + 1 }
        );
        assert!(Query::parse(&"a ".repeat(QUERY_TERMS_MAX)).is_ok());
        assert_eq!(fault(&"a ".repeat(QUERY_TERMS_MAX + 1)), QueryFault::TooManyTerms);
        let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
        assert!(Query::parse(&nested(QUERY_DEPTH_MAX - 1)).is_ok());
        assert_eq!(fault(&nested(QUERY_DEPTH_MAX)), QueryFault::TooDeep);
        assert_eq!(fault(&"-".repeat(QUERY_BYTES_MAX - 1)), QueryFault::TooDeep);
    }
}
