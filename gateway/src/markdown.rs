//! Messages as HTML: what people wrote is Markdown (CommonMark, with tables, lists of tasks and struck out text),
//! and never more than that.
//!
//! There are two walls. Raw HTML in a message is shown as the text that it is. What the renderer makes of the
//! rest then passes a sanitiser that knows what it may contain; it would hold by itself. Pictures are links:
//! a picture that loads by itself tells its owner who reads, and when.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use ammonia::Builder;
use pulldown_cmark::{Event, LinkType, Options, Parser, Tag, TagEnd, html};

/// What may be in the result; nothing of it has attributes but those below.
const TAGS: [&str; 27] = [
    "a",
    "blockquote",
    "br",
    "code",
    "del",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "input",
    "li",
    "ol",
    "p",
    "pre",
    "strong",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "th",
    "thead",
    "tr",
];
/// Elements inside each other; deeper ones are left out, and what is in them stays. A sanitiser that builds a
/// tree takes time by the square of its depth.
const DEPTH_MAX: usize = 32;
/// Where links may lead.
const SCHEMES: [&str; 4] = ["http", "https", "mailto", "tel"];

static SANITISER: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut builder = Builder::default();
    builder
        .tags(TAGS.into_iter().chain(["ul"]).collect())
        .generic_attributes(HashSet::new())
        .tag_attributes(HashMap::from([
            ("a", HashSet::from(["href", "title"])),
            ("ol", HashSet::from(["start"])),
            ("td", HashSet::from(["align"])),
            ("th", HashSet::from(["align"])),
        ]))
        // Boxes of lists of tasks, which nobody can tick here.
        .tag_attribute_values(HashMap::from([(
            "input",
            HashMap::from([
                ("type", HashSet::from(["checkbox"])),
                ("disabled", HashSet::from([""])),
                ("checked", HashSet::from([""])),
            ]),
        )]))
        .url_schemes(SCHEMES.into_iter().collect())
        .url_relative(ammonia::UrlRelative::Deny)
        .link_rel(Some("noopener noreferrer nofollow"));
    builder
});

/// `text`, which is Markdown, as HTML that is safe to put into a page.
#[must_use]
pub fn to_html(text: &str) -> String {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut made = String::with_capacity(text.len() * 3 / 2);
    let mut depth = 0;
    let events = Parser::new_ext(text, options).map(harmless).filter(|event| shallow(event, &mut depth));
    html::push_html(&mut made, events);
    SANITISER.clean(&made).to_string()
}

/// An event without what pages could run or load; line breaks stay where people made them.
fn harmless(event: Event<'_>) -> Event<'_> {
    match event {
        Event::Html(raw) | Event::InlineHtml(raw) => Event::Text(raw),
        Event::SoftBreak => Event::HardBreak,
        Event::Start(Tag::HtmlBlock) => Event::Start(Tag::Paragraph),
        Event::End(TagEnd::HtmlBlock) => Event::End(TagEnd::Paragraph),
        Event::Start(Tag::Image { dest_url, title, id, .. }) => {
            Event::Start(Tag::Link { link_type: LinkType::Inline, dest_url, title, id })
        }
        Event::End(TagEnd::Image) => Event::End(TagEnd::Link),
        other => other,
    }
}

/// Whether an event is of an element that is not too deep.
fn shallow(event: &Event<'_>, depth: &mut usize) -> bool {
    match event {
        Event::Start(_) => {
            *depth += 1;
            *depth <= DEPTH_MAX
        }
        Event::End(_) => {
            *depth = depth.saturating_sub(1);
            *depth < DEPTH_MAX
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_people_write_is_shown_as_they_mean_it() {
        for (text, wanted) in [
            ("Hello\nthere", "<p>Hello<br>\nthere</p>\n"),
            (
                "**now** or *later*, ~~never~~",
                "<p><strong>now</strong> or <em>later</em>, <del>never</del></p>\n",
            ),
            (
                "- [x] done",
                "<ul>\n<li><input disabled=\"\" type=\"checkbox\" checked=\"\">\ndone</li>\n</ul>\n",
            ),
            (
                "[help](https://example.com/?a=1&b=2)",
                "<p><a href=\"https://example.com/?a=1&amp;b=2\" rel=\"noopener noreferrer nofollow\">help</a></p>\n",
            ),
            (
                "![me](https://example.com/me.png)",
                "<p><a href=\"https://example.com/me.png\" rel=\"noopener noreferrer nofollow\">me</a></p>\n",
            ),
            ("`<b>`", "<p><code>&lt;b&gt;</code></p>\n"),
            ("卡丢了 1 < 2", "<p>卡丢了 1 &lt; 2</p>\n"),
            ("", ""),
        ] {
            assert_eq!(to_html(text), wanted, "{text}");
        }
    }

    /// After OWASP's "XSS Filter Evasion Cheat Sheet", and what Markdown adds to it.
    const ATTACKS: [&str; 24] = [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<a href=\"javascript:alert(1)\">x</a>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](java&#x0A;script:alert(1))",
        "[x](&#106;avascript:alert(1))",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "[x](vbscript:msgbox(1))",
        "![x](javascript:alert(1))",
        "![x\" onerror=\"alert(1)](https://e.com/a)",
        "[x](https://e.com \"\\\" onclick=alert(1) \")",
        "<https://e.com/\"onmouseover=alert(1)>",
        "<javascript:alert(1)>",
        "<svg/onload=alert(1)>",
        "<iframe srcdoc=\"<script>alert(1)</script>\">",
        "<style>@import 'https://e.com/x.css';</style>",
        "<div style=\"background:url(javascript:alert(1))\">",
        "<math><mi//xlink:href=\"data:x,<script>alert(1)</script>\">",
        "<form action=https://e.com><input type=submit>",
        "<meta http-equiv=refresh content=0;url=https://e.com>",
        "<base href=https://e.com/>",
        "```\n</code></pre><script>alert(1)</script>\n```",
        "[a]: javascript:alert(1)\n\n[a]",
    ];

    /// Every tag and attribute of `html` is one that is allowed.
    fn check(html: &str, of: &str) {
        for tag in html.split('<').skip(1) {
            let tag = tag.split('>').next().unwrap().trim_start_matches('/');
            let name = tag.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap();
            assert!(TAGS.contains(&name) || name == "ul", "{of}: {html}");
            let lower = tag.to_ascii_lowercase();
            if let Some(at) = lower.find("href=\"") {
                let link = &lower[at + 6..];
                assert!(SCHEMES.iter().any(|scheme| link.starts_with(&format!("{scheme}:"))), "{of}: {html}");
            }
            // Outside of quotes: an attribute that runs.
            let bare: String = lower.split('"').step_by(2).collect();
            assert!(
                !bare.contains(" on") && !bare.contains("style") && !bare.contains("src"),
                "{of}: {html}"
            );
        }
    }

    #[test]
    fn nothing_runs_and_nothing_loads() {
        for attack in ATTACKS {
            check(&to_html(attack), attack);
        }
        assert_eq!(to_html(ATTACKS[0]), "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>\n");
    }

    #[test]
    fn deep_and_long_texts_take_no_longer_than_others() {
        for unit in ["> ", "[", "![", "*a_", "- ", "<b>", "`", "|a"] {
            let text = unit.repeat(waggle_core::limits::TEXT_BYTES_MAX / unit.len());
            let started = std::time::Instant::now();
            check(&to_html(&text), unit);
            // Not a measurement: what is not linear takes minutes.
            assert!(started.elapsed() < std::time::Duration::from_secs(10), "{unit}");
        }
    }

    proptest! {
        #[test]
        fn mixtures_are_safe_too(parts in proptest::collection::vec((0..ATTACKS.len(), "[ *_`>\\[\\]()\"'\n!-]{0,6}"), 1..6)) {
            let text: String = parts.iter().flat_map(|(attack, between)| [ATTACKS[*attack], between]).collect();
            check(&to_html(&text), &text);
        }
    }
}
