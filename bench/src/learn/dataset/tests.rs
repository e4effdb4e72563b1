//! Files as they are found, and what is said of those that cannot be read.

use super::*;

fn columns(text: &str, label: &str) -> Columns {
    Columns { text_column: Some(text.to_owned()), label_column: Some(label.to_owned()) }
}

fn read_text(name: &str, text: &[u8]) -> Result<Vec<Example>, String> {
    read_with(&Columns::default(), name, text)
}

fn read_with(columns: &Columns, name: &str, text: &[u8]) -> Result<Vec<Example>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name.split('#').next().unwrap());
    fs::write(&path, text).unwrap();
    let mut source = Source::from_str(name).unwrap();
    source.path = path;
    let found = read(&source, columns, "train");
    found.map_err(|error| error.to_string().rsplit('/').next().unwrap_or_default().to_owned())
}

fn pairs(name: &str, text: &str) -> Vec<(String, String)> {
    let examples = read_text(name, text.as_bytes()).unwrap();
    examples.into_iter().map(|example| (example.text, example.label)).collect()
}

#[test]
fn every_shape_gives_the_same_examples() {
    let wanted = [("Where is it, please?".into(), "where".into()), ("Über 3 Wochen".into(), "late".into())];
    for (name, text) in [
        ("a.csv", "text,category\n\"Where is it, please?\",where\nÜber 3 Wochen,late\n"),
        (
            "a.csv",
            "\u{feff}id,Label,Sentence\r\n1,where,\"Where is it, please?\"\r\n2,late,Über 3 Wochen\r\n",
        ),
        ("a.tsv", "utterance\tintent\nWhere is it, please?\twhere\nÜber 3 Wochen\tlate\n"),
        ("a.json", r#"[["Where is it, please?", "where"], {"intent": "late", "text": "Über 3 Wochen"}]"#),
        ("a.json", r#"{"oos": [], "train": [["Where is it, please?", "where"], ["Über 3 Wochen", "late"]]}"#),
        ("a.json#x", r#"{"x": [["Where is it, please?", "where"], ["Über 3 Wochen", "late"]], "train": []}"#),
        (
            "a.jsonl",
            "{\"text\":\"Where is it, please?\",\"intent\":\"where\"}\n\n{\"intent\":\"late\",\"text\":\"Über 3 Wochen\"}\n",
        ),
    ] {
        assert_eq!(pairs(name, text), wanted, "{name}: {text}");
    }
}

#[test]
fn errors_say_file_line_and_what_was_expected() {
    for (name, text, wanted) in [
        ("a.csv", "text,category\nx,y\nz\n", "a.csv:3: 1 field(s): expected 2"),
        ("a.csv", "text,category\nx,\n", "a.csv:2: the label of \"x\" is empty"),
        ("a.csv", "text,category\n\"a\nb\",c\n ,c\n", "a.csv:4: the text is empty"),
        (
            "a.csv",
            "what,category\nx,y\n",
            "a.csv:1: no column of texts among [\"what\", \"category\"]: expected",
        ),
        ("a.csv", "text,category\n", "a.csv: it has no examples"),
        ("a.txt", "x", "a.txt: it ends in \"txt\": expected .csv"),
        ("a.csv#x", "text,label\nx,y\n", "a.csv: only a JSON object has splits"),
        ("a.json", "[[\"a\", \"b\"],\n[\"a\"]]", "a.json:2: expected two members"),
        ("a.json", "[[\"a\", \"b\"],\n{\"text\": 3, \"intent\": \"x\"}]", "a.json:2: \"text\" is not a text"),
        ("a.json", "{\"val\": []}", "a.json: no split \"train\": expected one of val (named as PATH#SPLIT)"),
        ("a.json", "{\"train\":\n3}", "a.json:2: split \"train\": "),
        ("a.json", "[[\"a\", \"b\"],\n", "a.json:2: EOF"),
        (
            "a.jsonl",
            "{\"text\":\"x\",\"intent\":\"y\"}\n{\"text\":\"x\"}\n",
            "a.jsonl:2: no column of labels",
        ),
    ] {
        let error = read_text(name, text.as_bytes()).unwrap_err();
        assert!(error.starts_with(wanted), "{text:?}: {error}");
    }
    let error = read_text("a.csv", b"text,label\nx,y\n\xff\xfe,y\n").unwrap_err();
    assert!(error.starts_with("a.csv:3: it is not UTF-8 (byte 0xff): expected UTF-8"), "{error}");
    assert!(Source::from_str("a.json#").is_err() && Source::from_str("").is_err());
}

#[test]
fn odd_files_are_read_as_they_are_meant() {
    let wanted = [("Refund me,\nplease".to_owned(), "money, back".to_owned()), ("x".into(), "3".into())];
    for (name, text) in [
        (
            "a.csv",
            "\u{feff}\"text\",\"label\"\r\n\"Refund me,\nplease\",\"money, back\"\r\n\r\n,\r\nx,3\r\n,\r\n",
        ),
        ("a.CSV", "text;label\n\"Refund me,\nplease\";money, back\nx;3"),
        ("a.csv", "text\tlabel\n\"Refund me,\nplease\"\tmoney, back\nx\t3\n"),
        ("a.json", "\u{feff}\r\n[[\"Refund me,\\nplease\", \"money, back\"],\r\n[\"x\", 3]]\r\n"),
        (
            "a.jsonl",
            "\u{feff}{\"text\":\"Refund me,\\nplease\",\"label\":\"money, back\"}\r\n\r\n{\"text\":\"x\",\"label\":3}",
        ),
        ("a.ndjson", "[\"Refund me,\\nplease\",\"money, back\"]\n[\"x\",3]\n"),
    ] {
        assert_eq!(pairs(name, text), wanted, "{name}: {text:?}");
    }
    let others = columns("Frage", "Absicht");
    for (name, text) in [
        ("a.csv", "text,label,frage,absicht\na,b,x,y\n"),
        ("a.json", r#"{"train": [{"text": "a", "label": "b", "frage": "x", "Absicht": "y"}]}"#),
    ] {
        let found = read_with(&others, name, text.as_bytes()).unwrap();
        assert_eq!((found[0].text.as_str(), found[0].label.as_str()), ("x", "y"), "{name}");
    }
}

#[test]
fn odd_files_that_cannot_be_read_are_told_why() {
    let utf_16 =
        |text: &str, order: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(order).collect::<Vec<u8>>();
    let long = format!("text,label\nx,y\n{},y\n", "z".repeat(TEXT_BYTES_MAX + 1));
    let many = format!("{}\n1\n", "column,".repeat(100));
    for (name, bytes, wanted) in [
        (
            "a.csv",
            utf_16("\u{feff}text,label\nx,y\n", u16::to_le_bytes),
            "a.csv:1: it is UTF-16: expected UTF-8",
        ),
        (
            "a.csv",
            utf_16("\u{feff}text,label\nx,y\n", u16::to_be_bytes),
            "a.csv:1: it is UTF-16: expected UTF-8",
        ),
        ("a.json", utf_16("[]", u16::to_le_bytes), "a.json:1: it is UTF-16: expected UTF-8"),
        ("a.csv", b"text,label\nx,\0\n".to_vec(), "a.csv:2: it has a zero byte: expected text in UTF-8"),
        (
            "a.csv",
            b"text,label\nGr\xfc\xdfe,y\n".to_vec(),
            "a.csv:2: it is not UTF-8 (byte 0xfc): expected UTF-8 (`iconv",
        ),
        ("a.csv", b"".to_vec(), "a.csv: it is empty: expected texts with labels"),
        ("a.json", b" \n".to_vec(), "a.json: it is empty: expected texts with labels"),
        ("a.csv", long.into_bytes(), "a.csv:3: the text has 65537 bytes: expected at most 65536"),
        ("a.csv", b"text,label\n\n\n\r\nx,\n".to_vec(), "a.csv:5: the label of \"x\" is empty"),
        (
            "a.csv",
            b"text,label\n\"a\n\n\",b\n\nx\n".to_vec(),
            "a.csv:6: 1 field(s): expected 2, as in the first line (a separator",
        ),
        ("a.csv", b"text,label\nx,y\nwhere is it, please?,y\n".to_vec(), "a.csv:3: 3 field(s): expected 2"),
        (
            "a.csv",
            b"label,text\ny,x\ny,\"it is\nz,w\n".to_vec(),
            "a.csv:3: a quote that is not closed: expected another",
        ),
        (
            "a.csv",
            b"Where is it?,where\n".to_vec(),
            "a.csv:1: no column of texts among [\"Where is it?\", \"where\"]: expected text,",
        ),
        ("a.jsonl", b"[\n[\"a\", \"b\"]]\n".to_vec(), "a.jsonl:1: EOF"),
        (
            "a.jsonl",
            b"{\"text\":\"x\",\"label\":null}\n".to_vec(),
            "a.jsonl:1: \"label\" is null: expected a name or a number",
        ),
        (
            "a.json",
            b"[[\"x\", true]]".to_vec(),
            "a.json:1: the label is true or false: expected a name or a number",
        ),
        (
            "a.json",
            b"{\"text\":\"x\",\"label\":\"y\"}\n{\"text\":\"x\",\"label\":\"y\"}\n".to_vec(),
            "a.json:2: trailing characters",
        ),
        ("a.json", b"[1]".to_vec(), "a.json:1: expected [text, label] or an object"),
    ] {
        let error = read_text(name, &bytes).unwrap_err();
        assert!(error.starts_with(wanted), "{name}: {error}");
    }
    assert!(read_text("a.csv", many.as_bytes()).unwrap_err().len() < 600);
    let error = read_with(&columns("frage", "label"), "a.csv", b"text,label\nx,y\n").unwrap_err();
    assert!(
        error.contains("expected frage (--text-column names it); the first line names the columns"),
        "{error}"
    );
    let folder = tempfile::tempdir().unwrap();
    let missing = Source { path: folder.path().join("none.csv"), split: None };
    let error = read(&missing, &Columns::default(), "train").unwrap_err().to_string();
    assert!(error.contains("none.csv: cannot be read: No such file"), "{error}");
}
