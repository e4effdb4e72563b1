//! What becomes of the data directory itself.

use sqlx::{Connection, SqliteConnection};
use waggle_core::id::{TenantId, TicketId};
use waggle_core::time::Timestamp;
use waggle_gateway::store::{AttachmentRow, AttachmentStore};

use super::*;

const USAGE: i32 = 2;
const IN_USE: i32 = 3;
const STORAGE: i32 = 4;

fn files(folder: &Path) -> Vec<(String, u64)> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let mut files: Vec<_> = entries
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len()))
        .collect();
    files.sort();
    files
}

#[test]
fn a_mistyped_directory_makes_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let output = run(&parent.path().join("mistyped"), &["tenant", "list"], "");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(USAGE), "{said}");
    assert!(said.contains("mistyped") && said.contains("waggle serve"), "{said}");
    assert_eq!(files(parent.path()), []);
}

#[tokio::test]
async fn nothing_is_laid_out_and_a_gateway_may_hold_the_directory() {
    let desk = Desk::new().await;
    let _gateway = desk.dir().lock().unwrap();
    let store = desk.store().await;
    let before = files(desk.folder.path());
    assert!(before.iter().any(|(name, bytes)| name == "waggle.db-wal" && *bytes > 30_000_000), "{before:?}");
    desk.json(&["queue", "create", "--tenant", "acme", "billing"]);
    let names = |files: &[(String, u64)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&files(desk.folder.path())), names(&before));
    drop(store);

    // Without a gateway its log is not laid out.
    let (desk, alone) = (Desk::new().await, Desk { folder: tempfile::tempdir().unwrap() });
    std::fs::copy(desk.dir().database(), alone.dir().database()).unwrap();
    alone.json(&["queue", "create", "--tenant", "acme", "billing"]);
    assert!(files(alone.folder.path()).iter().all(|(_, bytes)| *bytes < 4_000_000));
}

#[tokio::test]
async fn a_database_of_another_version_is_left_alone() {
    let desk = Desk::new().await;
    let url = format!("sqlite://{}", desk.dir().database().display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    let change = async |sql: &'static str, connection: &mut SqliteConnection| {
        sqlx::query(sql).execute(connection).await.unwrap();
    };
    const NEWER: &str = "INSERT INTO _sqlx_migrations VALUES (9999, 'newer', '', 1, x'00', 0)";
    change(NEWER, &mut connection).await;
    let (code, said) = desk.fails(&["tenant", "list"]);
    assert_eq!(code, STORAGE, "{said}");
    assert!(said.contains("9999") && said.contains("newer version"), "{said}");
    change("DELETE FROM _sqlx_migrations WHERE version > 8", &mut connection).await;
    let (code, said) = desk.fails(&["tenant", "list"]);
    assert!(code == STORAGE && said.contains("start a gateway of this version"), "{said}");
}

#[tokio::test]
async fn epochs_change_only_while_no_gateway_runs() {
    let desk = Desk::new().await;
    let before = desk.json(&["epoch", "list"]);
    {
        let _gateway = desk.dir().lock().unwrap();
        let (code, said) = desk.fails(&["epoch", "renew"]);
        assert!(code == IN_USE && said.contains("in use"), "{said}");
        assert_eq!(desk.json(&["epoch", "list"]), before);
    }
    let renewed = desk.json(&["epoch", "renew", "--tenant", "acme"]);
    assert_ne!(renewed[0]["epoch"], before[0]["epoch"]);
    assert_eq!(desk.json(&["epoch", "list"]), renewed);
    assert_eq!(desk.audited(), ("epoch.renewed".to_owned(), "tenant:1".to_owned()));
    // The next gateway's log has it, and its tickets are folded anew.
    let store = desk.store().await;
    let heads = store.heads().await.unwrap();
    assert_eq!(renewed[0]["epoch"], heads[0].cursor.epoch.to_string());
    store.close().await;
}

#[tokio::test]
async fn a_database_is_written_anew_only_while_no_gateway_runs() {
    let desk = Desk::new().await;
    {
        let _gateway = desk.dir().lock().unwrap();
        assert_eq!(desk.fails(&["compact"]).0, IN_USE);
    }
    assert_eq!(desk.json(&["compact"]), json!({"compacted": true}));
    assert_eq!(desk.json(&["tenant", "list"])[0]["name"], "acme");
}

#[tokio::test]
async fn files_are_verified_and_those_of_nobody_deleted() {
    let desk = Desk::new().await;
    let attachments = desk.attachments();
    let mut hashes = Vec::new();
    for text in ["whole", "nobody's", "damaged"] {
        let mut upload = attachments.begin().await.unwrap();
        upload.write(text.as_bytes()).await.unwrap();
        hashes.push(upload.finish().await.unwrap().hash);
    }
    let path = |index: usize| {
        let name = hashes[index].to_string();
        desk.dir().attachments().join(&name[..2]).join(&name[2..])
    };
    let store = desk.store().await;
    for index in [0, 2] {
        let (name, media_type) = ("a.txt".to_owned(), "text/plain".to_owned());
        let bytes = std::fs::metadata(path(index)).unwrap().len();
        let row = AttachmentRow { hash: hashes[index], name, media_type, bytes, at: Timestamp(1) };
        store.add_attachment(TenantId(1), TicketId(1), &row).await.unwrap();
    }
    store.close().await;
    desk.json(&["attachment", "check"]);
    let found = desk.json(&["attachment", "verify"]);
    // What came just now may be a ticket's in a moment.
    assert_eq!(
        (&found["files"], &found["unreferenced"], &found["findings"]),
        (&2.into(), &0.into(), &Value::Array(vec![]))
    );

    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(25 * 3_600);
    std::fs::File::open(path(1)).unwrap().set_modified(old).unwrap();
    let found = desk.json(&["attachment", "verify"]);
    assert_eq!(found["findings"][0]["fault"], "unreferenced", "{found}");
    {
        let _gateway = desk.dir().lock().unwrap();
        assert_eq!(desk.fails(&["attachment", "verify", "--delete-unreferenced"]).0, IN_USE);
    }
    let found = desk.json(&["attachment", "verify", "--delete-unreferenced"]);
    assert_eq!(
        (&found["removed"], found["findings"][0]["hash"].as_str().unwrap()),
        (&1.into(), hashes[1].to_string().as_str())
    );
    assert!(path(0).exists() && !path(1).exists());

    std::fs::write(path(2), "DAMAGED").unwrap();
    std::fs::remove_file(path(0)).unwrap();
    let (code, said) = desk.fails(&["attachment", "verify"]);
    assert!(code == STORAGE && said.contains("1 files are missing and 1 are damaged"), "{said}");
}
