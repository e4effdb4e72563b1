//! What a client may send after its welcome, and what has to come of it; numbers are sections of RFC 6455.

use crate::peer::{BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, masked, push_masked};

const FIN: u8 = 0x80;
const PROTOCOL_ERROR: u16 = 4201;
/// "Protocol error" of RFC 6455, 7.4.1: the answer to a close frame with a code that may not be sent.
const CLOSE_PROTOCOL_ERROR: u16 = 1002;
const TOO_LARGE: u16 = 4202;

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) expect: Expect,
}

pub(crate) enum Expect {
    /// A result for each of these ids; the session goes on.
    Texts(Vec<String>),
    /// These pongs, then a result.
    PongsThenText(Vec<Vec<u8>>, String),
    /// This pong, perhaps after others.
    LastPong(Vec<u8>),
    /// No answer; the session goes on.
    Nothing,
    /// A close frame with this payload, then the end.
    Echo(Vec<u8>),
    /// A close frame with this code, and these words in its reason; then the end.
    Refused(u16, &'static str),
}

fn case(name: impl Into<String>, frames: &[Vec<u8>], expect: Expect) -> Case {
    Case { name: name.into(), bytes: frames.concat(), expect }
}

/// A message that is answered with its id.
fn message(id: &str) -> Vec<u8> {
    format!(r#"{{"type":"subscribe","id":"{id}","views":[]}}"#).into_bytes()
}

/// A message with any text in it, that is answered with the id "a".
fn spoken(text: &str) -> Vec<u8> {
    format!(r#"{{"type":"command","id":"a","ticket":1,"command":{{"type":"reply","text":"{text}"}}}}"#)
        .into_bytes()
}

fn text(id: &str) -> Vec<u8> {
    masked(FIN | TEXT, &message(id))
}

pub(crate) fn all() -> Vec<Case> {
    [framing(), fragments(), control(), closes(), utf8()].into_iter().flatten().collect()
}

fn framing() -> Vec<Case> {
    let mut cases = vec![
        case("5.2: a text", &[text("a")], Expect::Texts(vec!["a".into()])),
        case("5.2: two texts", &[text("a"), text("b")], Expect::Texts(vec!["a".into(), "b".into()])),
        case("5.6: binary", &[masked(FIN | BINARY, b"{}")], Expect::Refused(PROTOCOL_ERROR, "text")),
        case("5.6: empty text", &[masked(FIN | TEXT, b"")], Expect::Refused(PROTOCOL_ERROR, "")),
    ];
    for bit in [0x40, 0x20, 0x10] {
        for opcode in [TEXT, PING, CLOSE] {
            let frame = masked(FIN | bit | opcode, b"\x03\xe8");
            let name = format!("5.2: reserved bit {bit:#x} with opcode {opcode}");
            cases.push(case(name, &[frame], Expect::Refused(PROTOCOL_ERROR, "reserved")));
        }
    }
    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        let name = format!("5.2: opcode {opcode}");
        cases.push(case(name, &[masked(FIN | opcode, b"")], Expect::Refused(PROTOCOL_ERROR, "opcode")));
    }
    for (opcode, payload) in [(TEXT, &message("a")[..]), (PING, b"x"), (CLOSE, b"\x03\xe8")] {
        let mut frame = vec![FIN | opcode, payload.len() as u8];
        frame.extend(payload);
        let name = format!("5.1: opcode {opcode} without a mask");
        cases.push(case(name, &[frame], Expect::Refused(PROTOCOL_ERROR, "mask")));
    }
    for (name, length) in [("over the limit", 200_000_u64), ("of all bits", u64::MAX)] {
        let mut frame = vec![FIN | TEXT, 0x80 | 127];
        frame.extend(length.to_be_bytes());
        frame.extend([0; 4]);
        cases.push(case(format!("5.2: a length {name}"), &[frame], Expect::Refused(TOO_LARGE, "at most")));
    }
    for length in [125, 126, 127, 65_535, 65_536] {
        let open = r#"{"type":"subscribe","id":"a","views":["#;
        let long = format!("{open}{}]}}", " ".repeat(length - open.len() - 2));
        let frame = masked(FIN | TEXT, long.as_bytes());
        cases.push(case(format!("5.2: a text of {length}"), &[frame], Expect::Texts(vec!["a".into()])));
    }
    cases
}

fn fragments() -> Vec<Case> {
    let whole = spoken("κόσμε");
    let result = || Expect::Texts(vec!["a".into()]);
    let mut cases = vec![
        case(
            "5.4: empty fragments around a text",
            &[masked(TEXT, b""), masked(CONTINUATION, &whole), masked(FIN | CONTINUATION, b"")],
            result(),
        ),
        case(
            "5.4: a continuation of nothing",
            &[masked(FIN | CONTINUATION, &whole)],
            Expect::Refused(PROTOCOL_ERROR, "continu"),
        ),
        case(
            "5.4: a text within a text",
            &[masked(TEXT, b"{"), masked(FIN | TEXT, b"}")],
            Expect::Refused(PROTOCOL_ERROR, "fragment"),
        ),
        case(
            "5.4: pings and pongs between fragments",
            &[
                masked(TEXT, &whole[..5]),
                masked(FIN | PING, b"one"),
                masked(CONTINUATION, &whole[5..9]),
                masked(FIN | PONG, b"unasked"),
                masked(FIN | CONTINUATION, &whole[9..]),
            ],
            Expect::PongsThenText(vec![b"one".to_vec()], "a".into()),
        ),
        case(
            "5.4: a close between fragments",
            &[masked(TEXT, &whole[..5]), masked(FIN | CLOSE, b"\x03\xe8")],
            Expect::Echo(b"\x03\xe8".to_vec()),
        ),
    ];
    let single: Vec<_> = whole
        .iter()
        .enumerate()
        .map(|(at, byte)| {
            let first = if at == 0 { TEXT } else { CONTINUATION };
            let fin = if at + 1 == whole.len() { FIN } else { 0 };
            masked(fin | first, &[*byte])
        })
        .collect();
    cases.push(case("5.4: a fragment for each byte", &single, result()));
    for at in 0..=whole.len() {
        let frames = [masked(TEXT, &whole[..at]), masked(FIN | CONTINUATION, &whole[at..])];
        cases.push(Case {
            name: format!("5.4: two fragments, cut at {at}"),
            bytes: frames.concat(),
            expect: result(),
        });
    }
    cases
}

fn control() -> Vec<Case> {
    let most = vec![0xff; 125];
    let mut cases = vec![
        case("5.5.2: an empty ping", &[masked(FIN | PING, b"")], Expect::LastPong(Vec::new())),
        case("5.5.2: a ping of 125 bytes", &[masked(FIN | PING, &most)], Expect::LastPong(most)),
        case("5.5.3: a pong that nobody asked for", &[masked(FIN | PONG, b"x")], Expect::Nothing),
        case(
            "5.5.2: ten pings",
            &(0..10).map(|number| masked(FIN | PING, &[number])).collect::<Vec<_>>(),
            Expect::LastPong(vec![9]),
        ),
    ];
    for opcode in [PING, PONG, CLOSE] {
        let long = masked(FIN | opcode, &[b'x'; 126]);
        let name = format!("5.5: opcode {opcode} with 126 bytes");
        cases.push(case(name, &[long], Expect::Refused(PROTOCOL_ERROR, "control")));
        let fragment = masked(opcode, b"\x03\xe8");
        let name = format!("5.5: opcode {opcode} in fragments");
        cases.push(case(name, &[fragment], Expect::Refused(PROTOCOL_ERROR, "control")));
    }
    // A length that needs no more than 125 but says so in two bytes is over what a control frame has.
    let mut padded = vec![FIN | PING, 0x80 | 126, 0, 130];
    push_masked(&mut padded, &[b'x'; 130]);
    cases.push(case(
        "5.5: a ping with an extended length",
        &[padded],
        Expect::Refused(PROTOCOL_ERROR, "control"),
    ));
    cases
}

fn closes() -> Vec<Case> {
    let close = |payload: &[u8]| masked(FIN | CLOSE, payload);
    let with = |code: u16, reason: &[u8]| [&code.to_be_bytes()[..], reason].concat();
    let mut cases = vec![
        case("5.5.1: an empty close", &[close(b"")], Expect::Echo(Vec::new())),
        case(
            "5.5.1: nothing counts after a close",
            &[close(b"\x03\xe8"), text("late"), masked(FIN | PING, b"late")],
            Expect::Echo(b"\x03\xe8".to_vec()),
        ),
        case("5.5.1: one byte", &[close(b"\x03")], Expect::Refused(PROTOCOL_ERROR, "")),
        case(
            "7.1.6: a reason that is not UTF-8",
            &[close(&with(1000, b"\xce\xba\xe1\xbd"))],
            Expect::Refused(PROTOCOL_ERROR, ""),
        ),
    ];
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        let frame = close(&code_bytes(code));
        cases.push(case(format!("7.4: code {code}"), &[frame], Expect::Echo(code_bytes(code))));
    }
    for code in [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999] {
        let frame = close(&with(code, b"x"));
        cases.push(case(format!("7.4: code {code}"), &[frame], Expect::Refused(CLOSE_PROTOCOL_ERROR, "")));
    }
    cases
}

fn code_bytes(code: u16) -> Vec<u8> {
    code.to_be_bytes().to_vec()
}

fn utf8() -> Vec<Case> {
    let mut cases = Vec::new();
    // The first and the last of each length (RFC 3629).
    for character in
        ['\u{80}', '\u{7ff}', '\u{800}', '\u{d7ff}', '\u{e000}', '\u{ffff}', '\u{10000}', '\u{10ffff}']
    {
        let result = || Expect::Texts(vec!["a".into()]);
        let whole = spoken(&character.to_string());
        cases.push(case(format!("8.1: {character:?}"), &[masked(FIN | TEXT, &whole)], result()));
        let start = whole.iter().position(|byte| *byte >= 0x80).unwrap();
        for at in 1..character.len_utf8() {
            let (one, other) = whole.split_at(start + at);
            let frames = [masked(TEXT, one), masked(FIN | CONTINUATION, other)];
            let name = format!("8.1: {character:?} in fragments, cut after {at}");
            cases.push(case(name, &frames, result()));
        }
    }
    let wrong: [&[u8]; 13] = [
        b"\x80",             // a continuation alone
        b"\xbf",             // the same
        b"\xc0\x80",         // overlong
        b"\xc1\xbf",         // overlong
        b"\xe0\x80\x80",     // overlong
        b"\xf0\x80\x80\x80", // overlong
        b"\xed\xa0\x80",     // a surrogate
        b"\xed\xbf\xbf",     // a surrogate
        b"\xf4\x90\x80\x80", // over U+10FFFF
        b"\xf5\x80\x80\x80", // no first byte
        b"\xfe",             // no first byte
        b"\xc3",             // cut short
        b"\xf0\x9f\x98",     // cut short
    ];
    for bytes in wrong {
        let whole = [&br#"{"type":"subscribe","id":""#[..], bytes, br#"","views":[]}"#].concat();
        let name = format!("8.1: {bytes:x?}");
        cases.push(case(&*name, &[masked(FIN | TEXT, &whole)], Expect::Refused(PROTOCOL_ERROR, "UTF-8")));
        let cut = whole.len() - 14;
        for at in [cut - bytes.len() + 1, cut] {
            let frames = [masked(TEXT, &whole[..at]), masked(FIN | CONTINUATION, &whole[at..])];
            let name = format!("{name} in fragments, cut at {at}");
            cases.push(case(name, &frames, Expect::Refused(PROTOCOL_ERROR, "UTF-8")));
        }
    }
    cases
}
