//! The server that one would write first with tokio-tungstenite: a task for each connection, a broadcast
//! channel for each topic, and the library's own settings.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

type Topics = Arc<Mutex<HashMap<String, broadcast::Sender<Utf8Bytes>>>>;

/// Serves until it is ended: `/sub/TOPIC` gets what `/pub` is told as `TOPIC text`.
///
/// # Errors
/// Where it cannot listen.
pub fn serve(address: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async move {
        let listener = TcpListener::bind(address).await?;
        let topics = Topics::default();
        println!("ready");
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(connection(stream, Arc::clone(&topics)));
        }
    })
}

async fn connection(stream: TcpStream, topics: Topics) {
    let mut path = String::new();
    #[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
    let keep_path = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        request.uri().path().clone_into(&mut path);
        Ok(response)
    };
    let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(stream, keep_path).await else { return };
    let topic = |name: &str| {
        let mut topics = topics.lock().unwrap_or_else(PoisonError::into_inner);
        topics.entry(name.to_owned()).or_insert_with(|| broadcast::channel(1024).0).clone()
    };
    if let Some(name) = path.strip_prefix("/sub/") {
        let mut messages = topic(name).subscribe();
        loop {
            tokio::select! {
                message = messages.recv() => {
                    let Ok(text) = message else { return };
                    if socket.send(Message::Text(text)).await.is_err() {
                        return;
                    }
                }
                incoming = socket.next() => if !matches!(incoming, Some(Ok(_))) { return },
            }
        }
    }
    while let Some(Ok(Message::Text(text))) = socket.next().await {
        if let Some((name, text)) = text.split_once(' ') {
            // Nobody may listen.
            let _ = topic(name).send(text.into());
        }
    }
}
