//! Keep-alive connections that commands go over, each in its turn.

use std::collections::VecDeque;

use anyhow::{Context, Result};

use crate::lane::{Lane, LaneError};
use crate::poller::{Poller, Ready};
use crate::target::Target;
use crate::wire::message::EventKey;

/// Connections to one gateway, and what each is asked.
pub(super) struct Lanes<J> {
    target: Target,
    lanes: Vec<Lane>,
    jobs: Vec<Option<J>>,
    /// The longest unused first: a gateway closes a connection that nothing comes over for long.
    free: VecDeque<u32>,
}

/// What a job has come to.
#[derive(Debug)]
pub(super) struct Answered<J> {
    pub job: J,
    /// The event that its command has become.
    pub event: Result<EventKey, String>,
}

impl<J: Copy> Lanes<J> {
    /// Makes `count` connections.
    pub(super) fn connect(target: &Target, count: u32, poller: &Poller) -> Result<Self> {
        let connect = |index| Lane::connect(target, index, poller);
        let lanes = (0..count).map(connect).collect::<Result<Vec<_>, _>>()?;
        let jobs = vec![None; lanes.len()];
        Ok(Self { target: target.clone(), lanes, jobs, free: (0..count).collect() })
    }

    /// Whether a job can be sent.
    pub(super) fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// Whether no job is on its way.
    pub(super) fn is_quiet(&self) -> bool {
        self.free.len() == self.lanes.len()
    }

    /// Posts a job's body over the connection that has been free for the longest time.
    pub(super) fn send(&mut self, poller: &Poller, job: J, path: &str, body: &str) -> Result<()> {
        let index = self.free.pop_front().context("no connection is free")?;
        let at = index as usize;
        let (lane, slot) = self.lanes.get_mut(at).zip(self.jobs.get_mut(at)).context("no such connection")?;
        *slot = Some(job);
        lane.send(poller, |requests, out| requests.post(out, path, body.as_bytes()))?;
        Ok(())
    }

    /// Goes on where a connection is ready; `Some` with a job's answer. One that is closed while nothing is on its way
    /// is made anew, as every HTTP client does.
    pub(super) fn on_ready(
        &mut self,
        poller: &Poller,
        index: u32,
        ready: Ready,
    ) -> Result<Option<Answered<J>>> {
        let at = index as usize;
        let (lane, slot) = self.lanes.get_mut(at).zip(self.jobs.get_mut(at)).context("no such connection")?;
        let head = match lane.on_ready(poller, ready) {
            Ok(head) => head,
            Err(LaneError::Closed) if slot.is_none() => {
                *lane = Lane::connect(&self.target, index, poller).context("cannot connect again")?;
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let Some(head) = head else { return Ok(None) };
        let job = slot.take().ok_or(LaneError::Unasked)?;
        let body = lane.body(&head);
        let event = EventKey::parse(body).filter(|_| head.status == 200);
        let said =
            || format!("{}, expected 200 and an event: {}", head.status, String::from_utf8_lossy(body));
        let event = event.ok_or_else(said);
        lane.done(&head);
        if head.close {
            *lane = Lane::connect(&self.target, index, poller).context("cannot connect again")?;
        }
        self.free.push_back(index);
        Ok(Some(Answered { job, event }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::poller::Key;

    const EVENT: &str = r#"{"type":"event","offset":1,"ticket":7,"version":2,"kind":"message"}"#;

    fn answer(stream: &mut TcpStream) {
        let mut request = [0; 4_096];
        assert!(stream.read(&mut request).unwrap() > 0);
        let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{EVENT}", EVENT.len());
        stream.write_all(text.as_bytes()).unwrap();
    }

    /// Turns until a job is answered; its number.
    fn turn(lanes: &mut Lanes<u32>, poller: &mut Poller) -> u32 {
        let mut ready = Vec::new();
        loop {
            poller.wait(None, &mut ready).unwrap();
            for socket in &ready {
                let Key::Lane(index) = socket.key else { continue };
                if let Some(answered) = lanes.on_ready(poller, index, *socket).unwrap() {
                    assert_eq!(answered.event.unwrap().version, 2);
                    return answered.job;
                }
            }
        }
    }

    #[test]
    fn a_connection_that_is_closed_while_it_rests_is_made_anew() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let target = Target::from_url(&url, "t", None).unwrap();
        let mut poller = Poller::new().unwrap();
        let mut lanes = Lanes::connect(&target, 1, &poller).unwrap();
        drop(listener.accept().unwrap());
        let mut ready = Vec::new();
        while !ready.iter().any(|socket: &Ready| socket.readable) {
            poller.wait(None, &mut ready).unwrap();
        }
        assert!(lanes.on_ready(&poller, 0, ready[0]).unwrap().is_none());
        assert!(lanes.is_quiet() && lanes.has_free());
        lanes.send(&poller, 5, "/x", "{}").unwrap();
        assert!(!lanes.is_quiet() && !lanes.has_free());
        answer(&mut listener.accept().unwrap().0);
        assert_eq!(turn(&mut lanes, &mut poller), 5);
        assert!(lanes.is_quiet());
    }

    #[test]
    fn all_connections_take_their_turns() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let target = Target::from_url(&url, "t", None).unwrap();
        let mut poller = Poller::new().unwrap();
        let mut lanes = Lanes::connect(&target, 3, &poller).unwrap();
        let mut streams = [(); 3].map(|()| listener.accept().unwrap().0);
        // One after the other, so that one connection would do.
        for number in 0..6 {
            lanes.send(&poller, number, "/x", "{}").unwrap();
            answer(&mut streams[number as usize % 3]);
            assert_eq!(turn(&mut lanes, &mut poller), number);
        }
    }
}
