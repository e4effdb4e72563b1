//! A push client of one agent.

use std::net::TcpStream;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

use crate::gateway::{Gateway, PATIENCE};

pub(crate) struct Screen(WebSocket<TcpStream>);

impl Screen {
    pub(crate) fn open(gateway: &Gateway, views: &[&str]) -> Self {
        Self::open_as(gateway, &gateway.token, views)
    }

    pub(crate) fn open_as(gateway: &Gateway, token: &str, views: &[&str]) -> Self {
        let stream = TcpStream::connect(gateway.push).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut request = format!("ws://{}/v1/push", gateway.push).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("waggle.v1.json"));
        let (socket, _) = client(request, stream).unwrap();
        let mut screen = Self(socket);
        let hello = json!({"type": "hello", "token": token, "views": views});
        screen.0.send(Message::text(hello.to_string())).unwrap();
        screen.hear("welcome");
        screen
    }

    /// The next message of this type, and the types of those before it.
    pub(crate) fn hear(&mut self, kind: &str) -> Value {
        loop {
            let Message::Text(text) = self.0.read().unwrap() else { continue };
            let value: Value = serde_json::from_str(&text).unwrap();
            if value["type"] == kind {
                return value;
            }
        }
    }

    /// A command's result.
    pub(crate) fn command(&mut self, ticket: u64, command: &Value) -> Value {
        let said = json!({"type": "command", "id": "c1", "ticket": ticket, "command": command});
        self.0.send(Message::text(said.to_string())).unwrap();
        self.hear("result")
    }

    /// Whether the next of these is not a suggestion.
    pub(crate) fn hears_no_suggestion_before(&mut self, kind: &str) -> bool {
        loop {
            let Message::Text(text) = self.0.read().unwrap() else { continue };
            let value: Value = serde_json::from_str(&text).unwrap();
            match value["type"].as_str().unwrap() {
                "suggestion" => return false,
                heard if heard == kind => return true,
                _ => {}
            }
        }
    }
}
