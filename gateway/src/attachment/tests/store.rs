//! A store that is down, busy, slow, or lets nobody in.

use std::time::Instant;

use http::Method;

use super::server::Fault;
use super::*;

fn refused(outcome: &Result<Hash, AttachmentError>) -> String {
    let Err(AttachmentError::Store(error)) = outcome else { panic!("{outcome:?}") };
    error.to_string()
}

#[tokio::test]
async fn a_busy_store_is_asked_again_and_not_for_ever() {
    let place = Place::s3().await;
    let server = place.server.as_ref().unwrap();
    let busy = |method: Method, times| std::iter::repeat_n((method, Fault::Status(503)), times);
    server.fail(busy(Method::HEAD, 2).chain(busy(Method::PUT, 2)));
    let hash = place.put(&[b"hello"]).await.unwrap();
    server.fail(busy(Method::GET, 2));
    assert_eq!(place.get(hash, 5).await.unwrap(), b"hello");
    assert_eq!(server.seen().len(), 3 + 3 + 3);
    assert_eq!(place.attachments.repeated(), 2 + 2 + 2);

    server.fail(busy(Method::PUT, 3));
    let error = refused(&place.put(&[b"other"]).await);
    assert!(error.contains("503"), "{error}");
    let stats = place.attachments.stats();
    assert_eq!((stats.kept.load(Ordering::Relaxed), stats.failed.load(Ordering::Relaxed)), (1, 1));
    assert_eq!(place.files(), [hash.to_string()]);
    // One that knows no checksums is sent the file without one.
    server.fail([(Method::PUT, Fault::Status(501))]);
    place.put(&[b"other"]).await.unwrap();
}

#[tokio::test]
async fn what_breaks_on_the_way_to_the_store_is_sent_again_or_leaves_nothing() {
    let place = Place::s3().await;
    let server = place.server.as_ref().unwrap();
    let long = vec![b'x'; BYTES_MAX as usize];
    server.fail([(Method::PUT, Fault::Cut)]);
    let hash = place.put(&[&long]).await.unwrap();
    assert_eq!(place.get(hash, BYTES_MAX).await.unwrap(), long);
    place.attachments.alone().await.remove(hash).await.unwrap();
    server.fail(std::iter::repeat_n((Method::PUT, Fault::Cut), 3));
    assert!(place.put(&[&long]).await.is_err());
    assert_eq!(place.files(), [""; 0]);
    // Whoever sends a file goes away.
    server.fail([(Method::PUT, Fault::Silent)]);
    let _ = server.seen();
    let pieces: [&[u8]; 1] = [&long];
    let sending = place.put(&pieces);
    let gone = async {
        while !server.seen().contains(&Method::PUT) {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    tokio::select! {
        _ = sending => panic!("it was answered"),
        () = gone => {}
    }
    assert_eq!(place.files(), [""; 0]);
}

#[tokio::test]
async fn a_store_that_is_down_or_silent_is_told_soon() {
    let mut place = Place::s3().await;
    let server = place.server.take().unwrap();
    let mut settings = server.settings();
    settings.timeouts.answer = std::time::Duration::from_millis(400);
    place.attachments =
        Attachments::open(place.folder.path(), BYTES_MAX, Some(settings), Others::None).unwrap();
    let begun = Instant::now();
    server.fail(std::iter::repeat_n((Method::HEAD, Fault::Silent), 3));
    let error = refused(&place.put(&[b"hello"]).await);
    assert!(error.contains("did not answer within 400 milliseconds"), "{error}");

    let hash = place.put(&[b"hello"]).await.unwrap();
    server.fail([(Method::GET, Fault::Stall(5))]);
    let Err(AttachmentError::Io(error)) = place.get(hash, 5).await else { panic!("it has come") };
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);

    drop(server);
    let error = refused(&place.put(&[b"hello"]).await);
    assert!(error.contains("cannot be reached"), "{error}");
    assert!(begun.elapsed().as_secs() < 10);
    assert_eq!(place.files(), [""; 0]);
}

#[tokio::test]
async fn a_store_that_lets_nobody_in_says_so_and_no_secret_is_told() {
    let mut place = Place::s3().await;
    let server = place.server.take().unwrap();
    let mut settings = server.settings();
    settings.credentials = rusty_s3::Credentials::new("access", "another-secret");
    place.attachments =
        Attachments::open(place.folder.path(), BYTES_MAX, Some(settings.clone()), Others::None).unwrap();
    let outcome = place.put(&[b"hello"]).await;
    let error = refused(&outcome);
    assert!(error.contains("403 Forbidden SignatureDoesNotMatch; are access key"), "{error}");
    assert!(!format!("{outcome:?} {:?}", place.attachments).contains("another-secret"));
    assert!(!format!("{outcome:?}").contains("X-Amz"));
    assert_eq!(names(&server.files()), [""; 0]);
    assert!(place.attachments.check().await.is_err());

    // Who may not list is not told that a file is not there yet.
    settings.credentials = rusty_s3::Credentials::new("access", "secret");
    place.attachments =
        Attachments::open(place.folder.path(), BYTES_MAX, Some(settings), Others::None).unwrap();
    server.fail([(Method::HEAD, Fault::Status(403))]);
    let hash = place.put(&[b"hello"]).await.unwrap();
    assert_eq!(place.get(hash, 5).await.unwrap(), b"hello");

    std::fs::rename(server.bucket(), server.root().join("elsewhere")).unwrap();
    let outcome = place.attachments.page(None).await.map(|_| hash);
    assert!(refused(&outcome).contains("404 Not Found NoSuchBucket; is there such a bucket?"), "{outcome:?}");
}

#[tokio::test]
async fn a_store_is_asked_over_tls_only_where_it_is_trusted() {
    let (server, pem) = Server::start_tls().await;
    let folder = tempfile::tempdir().unwrap();
    let place = |settings| Place {
        name: "s3 over TLS",
        folder: tempfile::tempdir().unwrap(),
        server: None,
        attachments: Attachments::open(folder.path(), BYTES_MAX, Some(settings), Others::None).unwrap(),
    };
    let mut settings = server.settings();
    let outcome = place(settings.clone()).put(&[b"hello"]).await;
    assert!(refused(&outcome).contains("cannot be reached"), "{outcome:?}");
    assert!(outcome.unwrap_err().causes().contains("certificate"));

    let roots = folder.path().join("ca.pem");
    std::fs::write(&roots, pem).unwrap();
    settings.roots = Some(roots);
    let place = place(settings);
    let hash = place.put(&[b"hello"]).await.unwrap();
    assert_eq!(place.get(hash, 5).await.unwrap(), b"hello");
}
