//! What every keeper of files does, and what else a store does that fails.

pub(crate) mod server;
mod store;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use waggle_core::id::TicketId;
use waggle_core::limits::ATTACHMENT_PAGE_MAX;
use waggle_core::time::Timestamp;

use super::*;
use crate::store::{AttachmentRow, SqliteStore, Store};
use server::Server;

const BYTES_MAX: u64 = 300_000;
/// `printf hello | sha256sum`
const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

struct Place {
    name: &'static str,
    folder: TempDir,
    server: Option<Server>,
    attachments: Attachments,
}

impl Place {
    async fn all() -> [Self; 2] {
        [Self::directory(), Self::s3().await]
    }

    fn directory() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let attachments = Attachments::open(folder.path(), BYTES_MAX, None, Others::None).unwrap();
        Self { name: "directory", folder, server: None, attachments }
    }

    async fn s3() -> Self {
        let (folder, server) = (tempfile::tempdir().unwrap(), Server::start().await);
        let settings = Some(server.settings());
        let attachments = Attachments::open(folder.path(), BYTES_MAX, settings, Others::None).unwrap();
        Self { name: "s3", folder, server: Some(server), attachments }
    }

    /// Where a file's bytes are.
    fn path(&self, hash: Hash) -> PathBuf {
        let name = hash.to_string();
        match &self.server {
            None => self.folder.path().join(&name[..2]).join(&name[2..]),
            Some(server) => server.path(hash),
        }
    }

    /// Puts a file there that is not what its name says.
    fn plant(&self, hash: Hash, bytes: &[u8]) {
        let path = self.path(hash);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// All files that there are, those on their way in included.
    fn files(&self) -> Vec<String> {
        let mut found = names(self.folder.path());
        found.extend(self.server.iter().flat_map(|server| names(&server.files())));
        found
    }

    /// All files, page by page.
    async fn listed(&self) -> Vec<Kept> {
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let page = self.attachments.page(after).await.unwrap();
            assert!(page.len() <= ATTACHMENT_PAGE_MAX);
            let Some(last) = page.last() else { return listed };
            after = Some(last.hash);
            listed.extend(page);
        }
    }

    async fn put(&self, pieces: &[&[u8]]) -> Result<Hash, AttachmentError> {
        let mut upload = self.attachments.begin().await?;
        for piece in pieces {
            upload.write(piece).await?;
        }
        let Placed { hash, bytes, .. } = upload.finish().await?;
        assert_eq!(bytes, pieces.iter().map(|piece| piece.len() as u64).sum::<u64>());
        Ok(hash)
    }

    async fn get(&self, hash: Hash, bytes: u64) -> Result<Vec<u8>, AttachmentError> {
        let mut reading = self.attachments.read(hash, bytes).await?;
        let mut all = Vec::new();
        while let Some(piece) = std::future::poll_fn(|cx| reading.poll_piece(cx)).await {
            all.extend_from_slice(&piece?);
        }
        Ok(all)
    }
}

fn names(root: &Path) -> Vec<String> {
    let (mut names, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => names.push(path.strip_prefix(root).unwrap().display().to_string()),
            }
        }
    }
    names.sort();
    names
}

fn hash(number: u16) -> Hash {
    let mut bytes = [7; 32];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    Hash(bytes)
}

#[test]
fn only_digits_are_a_name() {
    let text = "00ff".repeat(16);
    let hash: Hash = text.parse().unwrap();
    assert_eq!((hash.0[1], hash.to_string()), (255, text.clone()));
    for wrong in ["", "..", "../../etc/passwd", &text[1..], &text.to_uppercase(), &format!("{text}0"), "é"] {
        assert_eq!(wrong.parse::<Hash>(), Err(NoHash), "{wrong}");
    }
}

#[tokio::test]
async fn what_is_kept_comes_back_and_is_there_once() {
    for place in Place::all().await {
        let hello = place.put(&[b"hel", b"lo"]).await.unwrap();
        assert_eq!(hello.to_string(), HELLO, "{}", place.name);
        assert_eq!(place.put(&[b"hello"]).await.unwrap(), hello);
        assert_eq!(place.files().len(), 1, "{}: {:?}", place.name, place.files());
        if let Some(server) = &place.server {
            // The second time it was only asked for.
            let seen = server.seen().iter().map(ToString::to_string).collect::<Vec<_>>();
            assert_eq!(seen, ["HEAD", "PUT", "HEAD"]);
        }
        assert_eq!(place.get(hello, 5).await.unwrap(), b"hello");
        // Longer than any buffer on the way.
        let long: Vec<u8> = (0..BYTES_MAX).map(|byte| (byte % 251) as u8).collect();
        let long_hash = place.put(&[&long]).await.unwrap();
        assert_eq!(place.get(long_hash, BYTES_MAX).await.unwrap(), long);

        let page = place.listed().await;
        let mut wanted = [(hello, 5), (long_hash, BYTES_MAX)];
        wanted.sort_unstable();
        assert_eq!(page.iter().map(|kept| (kept.hash, kept.bytes)).collect::<Vec<_>>(), wanted);
        assert!(page.iter().all(|kept| kept.changed_at.0 > 1_600_000_000_000), "{page:?}");

        for _ in 0..2 {
            place.attachments.alone().await.remove(hello).await.unwrap();
        }
        assert!(matches!(place.get(hello, 5).await, Err(AttachmentError::Missing(_))), "{}", place.name);
        place.attachments.check().await.unwrap();
        assert_eq!(place.files().len(), 1);
    }
}

#[tokio::test]
async fn what_is_not_taken_or_breaks_off_leaves_nothing() {
    for place in Place::all().await {
        let mut long = place.attachments.begin().await.unwrap();
        long.write(&[b'x'; BYTES_MAX as usize]).await.unwrap();
        let one_more = long.write(b"x").await;
        assert!(matches!(one_more, Err(AttachmentError::TooLong { max: BYTES_MAX })));
        drop(long);
        assert!(matches!(place.put(&[]).await, Err(AttachmentError::Empty)));
        assert!(matches!(place.put(&[b"#!/bin/sh"]).await, Err(AttachmentError::NotTaken("a script"))));
        let mut half = place.attachments.begin().await.unwrap();
        half.write(b"half").await.unwrap();
        assert_eq!(place.files().len(), 1, "{}", place.name);
        drop(half);
        assert_eq!(place.files(), [""; 0], "{}", place.name);
    }
}

#[tokio::test]
async fn what_was_on_its_way_in_goes_with_the_process() {
    for place in Place::all().await {
        std::mem::forget(place.attachments.begin().await.unwrap());
        assert_eq!(place.files().len(), 1);
        // Another process beside a gateway leaves alone what that is about.
        Attachments::open(place.folder.path(), BYTES_MAX, None, Others::Gateway).unwrap();
        assert_eq!(place.files().len(), 1);
        Attachments::open(place.folder.path(), BYTES_MAX, None, Others::None).unwrap();
        assert_eq!(place.files(), [""; 0]);
    }
}

#[tokio::test]
async fn a_file_that_is_removed_while_it_comes_once_more_is_there() {
    for place in Place::all().await {
        let hello = place.put(&[b"hello"]).await.unwrap();
        let server = place.server.as_ref();
        let _ = server.map(Server::seen);
        let alone = place.attachments.alone().await;
        let remove = async {
            // The store has said that it is there.
            while server.is_some_and(|server| server.seen().is_empty()) {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
            alone.remove(hello).await.unwrap();
            drop(alone);
        };
        let (again, ()) = tokio::join!(place.put(&[b"hello"]), remove);
        assert_eq!(again.unwrap(), hello);
        assert_eq!(place.get(hello, 5).await.unwrap(), b"hello", "{}", place.name);
    }
}

#[tokio::test]
async fn a_damaged_file_is_never_taken_for_whole() {
    for place in Place::all().await {
        let hello: Hash = HELLO.parse().unwrap();
        for wrong in [&b"hellO"[..], b"hell", b"hello!"] {
            place.plant(hello, wrong);
            let outcome = place.get(hello, 5).await;
            assert!(
                matches!(outcome, Err(AttachmentError::Damaged(_))),
                "{} {wrong:?} {outcome:?}",
                place.name
            );
        }
        // Of another length: sent once more, it is whole again.
        place.put(&[b"hello"]).await.unwrap();
        assert_eq!(place.get(hello, 5).await.unwrap(), b"hello", "{}", place.name);
    }
}

#[tokio::test]
async fn all_files_are_listed_in_order_page_by_page() {
    for place in Place::all().await {
        assert_eq!(place.attachments.page(None).await.unwrap(), []);
        // More than a page in one folder of the directory, and some in others.
        let full = (0..=ATTACHMENT_PAGE_MAX as u16).map(|number| {
            let mut name = [0x11; 32];
            name[1..3].copy_from_slice(&number.to_be_bytes());
            Hash(name)
        });
        let wanted: Vec<Hash> =
            [hash(0)].into_iter().chain(full).chain([hash(0xff00), hash(0xffff)]).collect();
        for hash in &wanted {
            place.plant(*hash, b"x");
        }
        std::fs::write(place.path(hash(0)).with_file_name("notes.txt"), b"x").unwrap();
        let listed: Vec<Hash> = place.listed().await.into_iter().map(|kept| kept.hash).collect();
        assert_eq!(listed, wanted, "{}", place.name);
    }
}

#[tokio::test]
async fn what_tickets_have_is_compared_with_what_is_kept() {
    for place in Place::all().await {
        let dir = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&dir.path().join("db")).await.unwrap());
        let tenant = store.create_tenant("acme").await.unwrap().id;
        let (whole, damaged) =
            (place.put(&[b"whole"]).await.unwrap(), place.put(&[b"damaged"]).await.unwrap());
        let (missing, unreferenced) = (hash(3), place.put(&[b"nobody's"]).await.unwrap());
        place.plant(damaged, b"DAMAGED");
        for (ticket, hash, bytes) in [(1, whole, 5), (2, whole, 5), (2, damaged, 7), (2, missing, 9)] {
            let row = row(hash, bytes);
            store.add_attachment(tenant, TicketId(ticket), &row).await.unwrap();
        }
        let plan =
            |contents, unreferenced, before| Plan { contents, unreferenced, before: Timestamp(before) };
        let look = plan(Contents::Read, Unreferenced::Report, u64::MAX);
        let found = verify(&place.attachments, store.as_ref(), look).await.unwrap();
        let mut wanted = vec![
            Finding { hash: damaged, fault: Fault::Damaged },
            Finding { hash: missing, fault: Fault::Missing },
            Finding { hash: unreferenced, fault: Fault::Unreferenced },
        ];
        wanted.sort_by_key(|finding| finding.hash);
        assert_eq!(found.findings, wanted, "{}", place.name);
        let counts =
            (found.files, found.bytes, found.missing, found.damaged, found.unreferenced, found.removed);
        assert_eq!(counts, (3, 21, 1, 1, 1, 0));

        // One that came just now may be a ticket's in a moment.
        let young = plan(Contents::Skip, Unreferenced::Remove, 1_600_000_000_000);
        assert_eq!(verify(&place.attachments, store.as_ref(), young).await.unwrap().unreferenced, 0);
        let remove = plan(Contents::Skip, Unreferenced::Remove, u64::MAX);
        let found = verify(&place.attachments, store.as_ref(), remove).await.unwrap();
        assert_eq!((found.removed, found.damaged, found.missing), (1, 0, 1), "{}", place.name);
        assert!(!place.path(unreferenced).exists() && place.path(whole).exists());
        store.close().await;
    }
}

fn row(hash: Hash, bytes: u64) -> AttachmentRow {
    let (name, media_type) = ("a.txt".to_owned(), "text/plain".to_owned());
    AttachmentRow { hash, name, media_type, bytes, at: Timestamp(1) }
}
