//! Files of tickets.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::json;

use super::{Answer, World};
use crate::attachment::tests::server::{Fault, Server};

/// `printf 'hello, bee' | sha256sum`
const HASH: &str = "d479f53d1a7014789e2aee30d986294c55e1530ab44b4a3df490777e53849185";

impl World {
    async fn attach(&self, token: &str, ticket: u64, name: &str, body: impl Into<Bytes>) -> Answer {
        let request = Request::post(format!("/v1/tickets/{ticket}/attachments?name={name}"))
            .header("authorization", format!("Bearer {token}"));
        self.send(request.body(Full::new(body.into())).unwrap()).await
    }
}

#[tokio::test]
async fn a_file_comes_back_as_it_was_and_never_in_place() {
    let world = World::new().await;
    world.create().await;
    let answer = world.attach(&world.ana, 1, "%E5%8F%91%20%22a%22.txt", "hello, bee").await;
    assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.bytes);
    let event = answer.json();
    let attachment = event["data"]["attachment"].clone();
    assert_eq!((event["kind"].as_str(), event["version"].as_u64()), (Some("attached"), Some(2)));
    assert_eq!(attachment["name"], "\u{53d1} \"a\".txt");
    assert_eq!(
        (attachment["media_type"].as_str(), attachment["bytes"].as_u64()),
        (Some("text/plain"), Some(10))
    );
    let hash = attachment["hash"].as_str().unwrap();
    assert_eq!(hash, HASH);

    let list = world.get("/v1/tickets/1/attachments").await.json();
    assert_eq!(list["attachments"], json!([attachment]));
    let path = format!("/v1/tickets/1/attachments/{hash}");
    let file = world.get(&path).await;
    assert_eq!((file.status, &file.bytes[..]), (StatusCode::OK, &b"hello, bee"[..]));
    assert_eq!(file.header("content-type"), "text/plain");
    assert_eq!(file.header("content-length"), "10");
    assert!(file.header("content-disposition").starts_with("attachment; filename="));
    assert_eq!(file.header("x-content-type-options"), "nosniff");
    assert_eq!(file.header("content-security-policy"), "default-src 'none'; sandbox");
    let again = world.get_as(&world.ana, &path, &[("if-none-match", file.header("etag"))]).await;
    assert_eq!((again.status, again.bytes.len()), (StatusCode::NOT_MODIFIED, 0));

    let twice = world.attach(&world.ben, 1, "b.txt", "hello, bee").await;
    assert_eq!((twice.code().as_str(), twice.json()["hash"].as_str()), ("attached_already", Some(hash)));
}

#[tokio::test]
async fn a_page_that_could_run_is_only_bytes() {
    let world = World::new().await;
    world.create().await;
    let page = "<!DOCTYPE html><html><script>alert(1)</script></html>";
    let event = world.attach(&world.ana, 1, "a.png", page).await.json();
    let hash = event["data"]["attachment"]["hash"].as_str().unwrap().to_owned();
    let file = world.get(&format!("/v1/tickets/1/attachments/{hash}")).await;
    assert_eq!(file.header("content-type"), "application/octet-stream");
}

#[tokio::test]
async fn what_is_not_taken_leaves_nothing() {
    let world = World::new().await;
    world.create().await;
    let long = vec![b'x'; 1_001];
    for (name, body, code) in [
        ("a.txt", &long[..], "attachment_too_large"),
        ("a.txt", b"", "bad_attachment"),
        ("a.exe", b"MZ\x90\0\x03\0\0\0", "bad_attachment"),
        ("run.txt", b"#!/bin/sh\n", "bad_attachment"),
        ("..%2f..%2fetc%2fpasswd", b"x", "bad_query"),
        ("", b"x", "bad_query"),
        ("a%e2%80%aefdp.exe", b"x", "bad_query"),
    ] {
        let answer = world.attach(&world.ana, 1, name, body.to_vec()).await;
        assert_eq!(answer.code(), code, "{name} {body:?}");
    }
    assert_eq!(world.attach(&world.ana, 9, "a.txt", "x").await.code(), "no_such_ticket");
    assert_eq!(world.attach(&world.stranger, 1, "a.txt", "x").await.code(), "no_such_ticket");
    assert_eq!(world.attach("wgl_nobody", 1, "a.txt", "x").await.code(), "unauthorized");
    assert_eq!(world.get("/v1/tickets/1/attachments").await.json(), json!({"attachments": []}));
    assert_eq!(world.get("/v1/tickets/1").await.json()["version"], 1);
    for name in ["..", "%2e%2e%2f%2e%2e%2fwaggle.db", &"A".repeat(64)] {
        let answer = world.get(&format!("/v1/tickets/1/attachments/{name}")).await;
        assert_eq!(answer.code(), "no_such_attachment", "{name}");
    }
}

#[tokio::test]
async fn a_file_is_only_its_tickets() {
    let world = World::new().await;
    world.create().await;
    world.create().await;
    let event = world.attach(&world.ana, 1, "a.txt", "secret").await.json();
    let hash = event["data"]["attachment"]["hash"].as_str().unwrap();
    let other = world.get(&format!("/v1/tickets/2/attachments/{hash}")).await;
    assert_eq!(other.code(), "no_such_attachment");
    let foreign = world.get_as(&world.stranger, &format!("/v1/tickets/1/attachments/{hash}"), &[]).await;
    assert_eq!(foreign.code(), "no_such_ticket");
}

#[tokio::test]
async fn a_store_that_is_down_is_told_and_loses_nothing() {
    let server = Server::start().await;
    let world = World::with_s3(server.settings()).await;
    world.create().await;
    server.fail(std::iter::repeat_n((http::Method::PUT, Fault::Status(503)), 3));
    let answer = world.attach(&world.ana, 1, "a.txt", "hello, bee").await;
    assert_eq!(answer.code(), "attachments_unavailable");
    assert_eq!(world.get("/v1/tickets/1/attachments").await.json(), json!({"attachments": []}));
    assert_eq!(world.get("/v1/tickets/1").await.json()["version"], 1);

    let answer = world.attach(&world.ana, 1, "a.txt", "hello, bee").await;
    assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.bytes);
    let path = format!("/v1/tickets/1/attachments/{HASH}");
    let file = world.get(&path).await;
    assert_eq!((file.status, &file.bytes[..]), (StatusCode::OK, &b"hello, bee"[..]));
    server.fail(std::iter::repeat_n((http::Method::GET, Fault::Status(500)), 3));
    assert_eq!(world.get(&path).await.code(), "attachments_unavailable");
    assert_eq!(world.get(&path).await.status, StatusCode::OK);
}
