//! Parsing a command allocates nothing, whatever fields it has: counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use waggle_core::ticket::{Command, Request};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[expect(unsafe_code, reason = "an allocator that counts cannot be written without")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `alloc` above, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations_of(json: &str) -> u64 {
    let before = ALLOCATIONS.get();
    let request = Request::parse(json.as_bytes());
    let after = ALLOCATIONS.get();
    assert!(request.is_ok(), "{request:?}");
    after - before
}

#[test]
fn none_for_any_command() {
    let long = "x".repeat(10_000);
    let commands = [
        r#"{"type":"move","to":"solved","expect":7,"fence":3}"#.to_owned(),
        r#"{"type":"claim"}"#.to_owned(),
        r#"{"type":"assign","agent":3,"expect":2,"fence":1}"#.to_owned(),
        r#"{"type":"set","subject":"a \"quoted\" one\n","priority":"high","queue":4}"#.to_owned(),
        r#"{"type":"reply","text":"Dear \u00e9\ud83d\udc1d,\n\nyes.","status":"pending","expect":1,"fence":2}"#
            .to_owned(),
        format!(r#"{{"type":"note","text":"{long}\n{long}"}}"#),
        format!(
            r#"{{"type":"create","queue":1,"subject":"caf\u00e9","requester":"a@example.com","text":"{long}\t","priority":"low","follow_up_of":9}}"#
        ),
    ];
    for json in &commands {
        assert_eq!(allocations_of(json), 0, "{}", json.chars().take(60).collect::<String>());
    }
}

#[test]
fn the_counter_counts() {
    let request = r#"{"type":"note","text":"a\nb"}"#;
    let Command::Note { text } = Request::parse(request.as_bytes()).unwrap().command else {
        panic!("a note")
    };
    let before = ALLOCATIONS.get();
    assert_eq!(text.decode(), "a\nb");
    assert_ne!(ALLOCATIONS.get() - before, 0, "an escape is undone in a copy, when somebody wants it");
}
