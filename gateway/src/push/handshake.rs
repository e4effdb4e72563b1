//! A connection's handshake: who may connect, and how many at a time.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::accept_hdr_async_with_config;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER, SEC_WEBSOCKET_PROTOCOL,
};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use waggle_core::limits::{
    HANDSHAKE_BYTES_MAX, HANDSHAKE_DEBT_MS, HANDSHAKE_PRESSED_MS_MAX, HANDSHAKE_TIME_DIVISOR, HANDSHAKES_MAX,
};
use waggle_core::push::{PATH, SUBPROTOCOL};

use super::admission::PushRefusal;
use super::link::{Link, Wire};
use super::reader::config;
use super::shard::Shard;

/// Answers the client's handshake; returns whether it was good. The whole of it is bounded in time and in
/// bytes, and not more than a few go on in one turn, so that a storm of them does not slow sessions.
pub(super) async fn shake_hands(shard: &Rc<Shard>, link: &Rc<Link>) -> bool {
    #[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
    let check = |request: &Request, response: Response| check_request(shard, link, request, response);
    let wire = Wire::new(Rc::clone(link));
    let mut handshake = pin!(accept_hdr_async_with_config(wire, check, Some(config())));
    let steps = async {
        loop {
            // Where it has failed, the next step says so.
            poll_fn(|cx| link.poll_readable(cx)).await;
            // The semaphore is never closed.
            let turn = shard.handshake_turns.acquire().await;
            shard.deliver_waiting();
            let began = Instant::now();
            let step = poll_fn(|cx| Poll::Ready(handshake.as_mut().poll(cx))).await;
            if step.is_ready() {
                link.flush();
            }
            let until = shard.handshake_pace.rest(began, Instant::now());
            // The place among this turn's handshakes is kept until the turn is over.
            match step {
                Poll::Ready(outcome) => return (outcome, turn, until),
                Poll::Pending => rest(until).await,
            }
        }
    };
    let outcome = tokio::select! {
        outcome = timeout(time_limit(shard), steps) => outcome,
        () = shard.drain_began() => {
            let refusal = shard.admission.refuse("this gateway is draining".to_owned());
            refuse(link, StatusCode::SERVICE_UNAVAILABLE, &refusal.reason, Some(refusal.retry_after_s));
            return false;
        }
    };
    let Ok((outcome, _turn, until)) = outcome else {
        refuse(link, StatusCode::REQUEST_TIMEOUT, "the handshake took too long", None);
        return false;
    };
    let is_good = outcome.is_ok();
    match outcome {
        // A client waits for the answer before it says more, so nothing else has been read.
        Ok(_) => {}
        Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::FileTooLarge => {
            let detail = format!("a handshake has at most {HANDSHAKE_BYTES_MAX} bytes");
            refuse(link, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, &detail, None);
        }
        // The answer has been written, or the peer is gone.
        Err(Error::Http(_) | Error::Io(_)) => {}
        Err(error) => refuse(link, StatusCode::BAD_REQUEST, &error.to_string(), None),
    }
    // Outside of the limits of time: a client that has its answer is not refused any more.
    rest(until).await;
    is_good
}

/// Lets others have their turn, and rests where that is due.
async fn rest(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => tokio::task::yield_now().await,
    }
}

/// Keeps handshakes to a part of the shard's time: in a storm the sessions that are there, and the rest of
/// the gateway on the same cores, go on as before, and those that come wait a little longer.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the work that was done is paid for.
    paid_at: Cell<Option<Instant>>,
}

impl Pace {
    /// How long to rest after a step, where the debt is worth a timer.
    fn rest(&self, began: Instant, ended: Instant) -> Option<Instant> {
        let from = self.paid_at.get().map_or(began, |paid_at| paid_at.max(began));
        let paid_at = from + (ended - began) * HANDSHAKE_TIME_DIVISOR;
        self.paid_at.set(Some(paid_at));
        (paid_at > ended + Duration::from_millis(HANDSHAKE_DEBT_MS)).then_some(paid_at)
    }
}

/// While many handshakes are under way each has less time: those that are meant need little.
fn time_limit(shard: &Shard) -> Duration {
    let is_pressed = shard.handshakes.get() > HANDSHAKES_MAX / 2;
    let most = if is_pressed { HANDSHAKE_PRESSED_MS_MAX } else { u64::MAX };
    Duration::from_millis(shard.settings.hello_ms.min(most))
}

/// Takes what asks for [`PATH`] with [`SUBPROTOCOL`], from a page that may, while there is a place.
#[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
fn check_request(
    shard: &Shard,
    link: &Link,
    request: &Request,
    mut response: Response,
) -> Result<Response, ErrorResponse> {
    if request.uri().path() != PATH {
        return Err(answer(StatusCode::NOT_FOUND, &format!("push is at {PATH}")));
    }
    let headers = request.headers();
    if !headers.contains_key(HOST) {
        return Err(answer(StatusCode::BAD_REQUEST, "a request has a Host header (RFC 9112, 3.2)"));
    }
    let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL);
    let mut offered = offered.iter().filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(','));
    if !offered.any(|protocol| protocol.trim() == SUBPROTOCOL) {
        let detail = format!("offer the subprotocol {SUBPROTOCOL} in Sec-WebSocket-Protocol");
        return Err(answer(StatusCode::BAD_REQUEST, &detail));
    }
    shard.rules.check_origin(headers).map_err(|detail| answer(StatusCode::FORBIDDEN, &detail))?;
    let address = shard.rules.address(link.peer_address(), headers);
    match shard.admission.enter(address) {
        Ok(place) => link.take_place(place),
        Err(refusal) => {
            shard.stats.refused.add(1);
            return Err(unavailable(&refusal));
        }
    }
    response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    Ok(response)
}

fn unavailable(refusal: &PushRefusal) -> ErrorResponse {
    let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, &refusal.reason);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(refusal.retry_after_s));
    response
}

fn answer(status: StatusCode, detail: &str) -> ErrorResponse {
    let body = format!("{detail}\n");
    let length = HeaderValue::from(body.len());
    let mut response = ErrorResponse::new(Some(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, length);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// An HTTP answer on a connection that has got none.
fn refuse(link: &Link, status: StatusCode, detail: &str, retry_after_s: Option<u32>) {
    let retry = retry_after_s.map(|seconds| format!("retry-after: {seconds}\r\n")).unwrap_or_default();
    let text = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n{retry}\
         connection: close\r\n\r\n{detail}\n",
        detail.len() + 1
    );
    link.queue_close(Bytes::from(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handshakes_rest_in_proportion_to_their_work() {
        let pace = Pace::default();
        let (start, step) = (Instant::now(), Duration::from_micros(100));
        let (mut now, mut worked) = (start, Duration::ZERO);
        for _ in 0..1_000 {
            worked += step;
            now = pace.rest(now, now + step).unwrap_or(now + step);
        }
        let whole = worked * HANDSHAKE_TIME_DIVISOR;
        assert!(now - start > whole - Duration::from_millis(2 * HANDSHAKE_DEBT_MS) && now - start <= whole);
        // A single one after a pause does not rest.
        let later = now + Duration::from_secs(1);
        assert_eq!(pace.rest(later, later + step), None);
    }
}
