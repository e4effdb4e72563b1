//! The client under TLS, on both listeners, over a change of certificates.

use std::path::Path;

use rustix::process::Signal;
use waggle_client::{Client, Item, Items, View};

use crate::gateway::{Gateway, PATIENCE};

/// New files for the gateway; returns where the certificate is kept for those who trust it.
fn renew(folder: &Path, name: &str) -> std::path::PathBuf {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(folder.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("tls.crt"), made.cert.pem()).unwrap();
    let kept = folder.join(name);
    std::fs::write(&kept, made.cert.pem()).unwrap();
    kept
}

async fn next(items: &mut Items) -> Item {
    tokio::time::timeout(PATIENCE, items.next()).await.expect("an item in time").expect("an item")
}

#[test]
fn wss_is_served_on_both_ports_and_survives_a_new_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let first = renew(folder.path(), "first.pem");
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let gateway = Gateway::start(&["--tls-certificate", &file("tls.crt"), "--tls-key", &file("tls.key")]);
    let open = |port: u16, ca: &Path| {
        let url = format!("wss://127.0.0.1:{port}/v1/push");
        Client::builder(url, &gateway.token).views([View::Tenant]).ca(ca).connect().unwrap()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, mut old) = open(gateway.push.port(), &first);
        let (_over_api, mut over_api) = open(gateway.api.port(), &first);
        assert!(matches!(next(&mut old).await, Item::Connected { .. }));
        assert!(matches!(next(&mut over_api).await, Item::Connected { .. }));

        let second = renew(folder.path(), "second.pem");
        gateway.signal(Signal::HUP);
        let start = std::time::Instant::now();
        let (_new, mut new) = loop {
            assert!(start.elapsed() < PATIENCE, "the new certificate is not served");
            let (client, mut items) = open(gateway.push.port(), &second);
            if let Item::Connected { .. } = next(&mut items).await {
                break (client, items);
            }
        };
        let create = r#"{"type":"create","queue":1,"subject":"s","requester":"r","text":"hello"}"#;
        let create = serde_json::value::RawValue::from_string(create.to_owned()).unwrap();
        client.command(None, create, None).await.unwrap();
        for items in [&mut old, &mut over_api, &mut new] {
            loop {
                match next(items).await {
                    Item::Event(event) => break assert_eq!(event.message.offset.0, 1),
                    Item::Disconnected { reason, .. } => panic!("{reason}"),
                    _ => {}
                }
            }
        }
        let (_distrustful, mut distrustful) = open(gateway.push.port(), &first);
        match next(&mut distrustful).await {
            Item::Disconnected { reason, .. } => {
                assert!(reason.to_string().contains("ertificate"), "{reason}")
            }
            other => panic!("{other:?}"),
        }
    });
}
