//! Secrets are nowhere but where they are shown once.

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::json;
use waggle_core::id::TenantId;
use waggle_core::limits::PAGE_ROWS_MAX;

use super::World;
use super::login::{Browser, PASSWORD, set_password};
use crate::store::PasswordKind;

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// All that is logged at the finest level, that is in the audit log, and that is in the database's files, while every
/// secret there is goes through.
#[tokio::test]
async fn secrets_are_not_logged_nor_audited_nor_stored() {
    let captured = Captured::default();
    let writer = captured.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let logging = tracing::subscriber::set_default(subscriber);

    let world = World::new().await;
    set_password(&world, 1, PasswordKind::Own).await;
    let mut browser = Browser::at(1);
    let mut secrets = vec![PASSWORD.to_owned(), world.ana.clone(), world.admin.clone()];
    browser.log_in(&world, "ana", "wrong horse battery").await;
    secrets.push("wrong horse battery".to_owned());
    // Typed into the wrong field.
    browser.log_in(&world, "my secret passphrase", PASSWORD).await;
    secrets.push("my secret passphrase".to_owned());
    assert_eq!(browser.log_in(&world, "ana", PASSWORD).await.status, 200);
    secrets.extend([browser.session.clone(), browser.device.clone(), browser.csrf.clone()]);
    let push = browser.post(&world, "/v1/push/tokens", json!({})).await.json();
    let token = browser.post(&world, "/v1/tokens", json!({"scopes": ["agent"]})).await.json();
    secrets.extend([&push, &token].map(|made| made["token"].as_str().unwrap().to_owned()));
    let reset = world.post_as(&world.admin, "/v1/agents/2/password", &[], "{}").await.json();
    secrets.push(reset["temporary_password"].as_str().unwrap().to_owned());
    let new = "another horse entirely";
    let body = json!({"password": PASSWORD, "new_password": new});
    assert_eq!(browser.post(&world, "/v1/password", body).await.status, 204);
    secrets.push(new.to_owned());
    tracing::trace!("the end");
    drop(logging);

    let logged = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("the end"));
    let rows = world.api.store.audit_rows_after(TenantId(1), 0, PAGE_ROWS_MAX).await.unwrap();
    let audited = format!("{rows:?}");
    assert!(audited.contains("login.ok") && audited.contains("token.created"));
    let mut stored = Vec::new();
    for entry in std::fs::read_dir(world.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            stored.extend(std::fs::read(path).unwrap());
        }
    }
    for secret in secrets {
        assert!(secret.len() > 8 && !logged.contains(&secret), "logged: {secret}");
        assert!(!audited.contains(&secret), "audited: {secret}");
        let found = stored.windows(secret.len()).any(|bytes| bytes == secret.as_bytes());
        assert!(!found, "stored: {secret}");
    }
}
