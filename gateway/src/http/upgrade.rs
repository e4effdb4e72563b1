//! WebSocket handshakes on the API's port (RFC 6455 section 4.2): answered here, then the socket is
//! handed to the push engine.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CONNECTION, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use waggle_core::push::SUBPROTOCOL;

use super::answer::Response;
use super::stall::Unstalled;
use super::{Api, Phase, PushAdopter, Refused};
use crate::problem::Problem;
use crate::push::{Handover, HandoverStream, Via};

/// 16 bytes in base64.
const KEY_CHARS: usize = 24;

/// `GET /v1/push`.
pub(super) fn push(api: &Arc<Api>, parts: &mut Parts, remote: SocketAddr) -> Result<Response, Refused> {
    if api.readiness.phase() != Phase::Ready {
        return Err(Problem::new("stopping", "the gateway takes no new push connections").into());
    }
    let accept = check(&parts.headers)?;
    let peer = remote.ip();
    let remote = SocketAddr::new(admit(api, &parts.headers, remote)?, remote.port());
    let Some(on_upgrade) = parts.extensions.remove::<OnUpgrade>() else {
        return Err(upgrade_required("the connection cannot be upgraded"));
    };
    let adopt = Arc::clone(&api.adopt);
    tokio::spawn(async move {
        match on_upgrade.await {
            Ok(upgraded) => hand_over(upgraded, remote, peer, &adopt),
            Err(error) => tracing::debug!(%error, %remote, "a handshake broke off"),
        }
    });
    let mut response = Response::default();
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    Ok(response)
}

/// Whether a client may have a push connection now; the address that it counts as.
pub(super) fn admit(api: &Api, headers: &HeaderMap, remote: SocketAddr) -> Result<IpAddr, Refused> {
    api.push.check_origin(headers).map_err(|detail| Problem::new("forbidden", detail))?;
    let address = api.push.address(remote.ip(), headers);
    api.push.check_room(address).map_err(full)?;
    Ok(address)
}

fn hand_over(upgraded: Upgraded, remote: SocketAddr, peer: IpAddr, adopt: &PushAdopter) {
    let (stream, leftover) = match taken_apart(upgraded) {
        Ok(parts) => parts,
        Err(error) => {
            tracing::warn!(%error, %remote, "a push connection could not be handed over");
            return;
        }
    };
    adopt(Handover { stream, leftover, remote: remote.ip(), peer, via: Via::Api });
}

/// The socket below an upgraded connection, and what was read behind its handshake.
fn taken_apart(upgraded: Upgraded) -> io::Result<(HandoverStream, Bytes)> {
    let upgraded = match upgraded.downcast::<TokioIo<Unstalled<TcpStream>>>() {
        Ok(parts) => {
            let stream = parts.io.into_inner().into_inner().into_std()?;
            return Ok((HandoverStream::Tcp(stream), parts.read_buf));
        }
        Err(upgraded) => upgraded,
    };
    let unknown = |_| io::Error::other("an upgraded connection is neither TCP nor TLS");
    let parts = upgraded.downcast::<TokioIo<Unstalled<TlsStream<TcpStream>>>>().map_err(unknown)?;
    let (stream, connection) = parts.io.into_inner().into_inner().into_inner();
    Ok((HandoverStream::Tls(stream.into_std()?, Box::new(connection)), parts.read_buf))
}

/// Checks the handshake; gives the value of `Sec-WebSocket-Accept`.
fn check(headers: &HeaderMap) -> Result<HeaderValue, Refused> {
    if !has_word(headers, &UPGRADE, "websocket") || !has_word(headers, &CONNECTION, "upgrade") {
        return Err(upgrade_required("expected Connection: Upgrade and Upgrade: websocket"));
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(upgrade_required("expected Sec-WebSocket-Version: 13"));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|key| key.len() == KEY_CHARS);
    let key = key.ok_or_else(|| bad("expected a Sec-WebSocket-Key of 16 bytes in base64"))?;
    if !has_word(headers, &SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        return Err(bad(&format!("expected Sec-WebSocket-Protocol: {SUBPROTOCOL}")));
    }
    HeaderValue::try_from(derive_accept_key(key.as_bytes()))
        .map_err(|_| bad("Sec-WebSocket-Key is not base64"))
}

fn full((reason, retry_after_s): (String, u32)) -> Refused {
    Refused::from(Problem::new("overload", reason)).with(RETRY_AFTER, HeaderValue::from(retry_after_s))
}

fn bad(detail: &str) -> Refused {
    Problem::new("bad_handshake", detail).into()
}

fn upgrade_required(detail: &str) -> Refused {
    Refused::from(Problem::new("upgrade_required", detail))
        .with(UPGRADE, HeaderValue::from_static("websocket"))
        .with(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))
}

/// Whether a comma-separated header has `word`, in whatever case.
fn has_word(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let mut words =
        headers.get_all(name).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    words.any(|found| found.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
}
