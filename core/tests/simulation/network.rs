//! Connections: in order, with latency; cut at any moment, which each end learns at its own time.

use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use waggle_core::push::{Link, Loss};

use crate::agenda::{Event, Life};
use crate::engine::Seat;
use crate::world::World;

pub(crate) type ConnId = u64;

/// What comes to a viewer.
#[derive(Debug)]
pub(crate) enum Down {
    Opened,
    Frame(Bytes),
    Closed(u16, String),
}

pub(crate) struct Conn {
    pub(crate) id: ConnId,
    pub(crate) viewer: usize,
    viewer_life: Life,
    pub(crate) link: Link,
    pub(crate) shard: usize,
    /// The gateway's end, until that is gone.
    pub(crate) seat: Option<Seat>,
    /// When the session's tick is due.
    pub(crate) tick_at: Option<u64>,
    pub(crate) is_client_open: bool,
    /// Nothing passes any more.
    is_cut: bool,
    to_server: VecDeque<Rc<str>>,
    to_client: VecDeque<Down>,
    /// Of those to the client, the ones that are there to be read.
    arrived: usize,
    to_server_last: u64,
    to_client_last: u64,
}

impl World {
    fn latency(&mut self) -> u64 {
        self.random.below(self.plan.network_ms)
    }

    pub(crate) fn dial(&mut self, viewer: usize, life: Life, link: Link) {
        if !self.viewers[viewer].is_alive(life) || !self.viewers[viewer].dialing.remove(&link) {
            return;
        }
        if self.gateway.is_none() || self.goes_wrong(self.plan.dial_fails_per_mille) {
            // Refused; or nothing comes back at all, and the machine gives up by itself.
            if !self.goes_wrong(200) {
                let at = self.now + self.latency();
                self.agenda.add(at, Event::DialFails { viewer, life, link });
            }
            return;
        }
        let id = self.conn_next;
        self.conn_next += 1;
        let shard = self.random.below(self.plan.shards as u64) as usize;
        let settings = self.gateway.as_ref().expect("a living gateway").settings.clone();
        let seat = Seat::new(id, settings, self.tick());
        let conn = Conn {
            id,
            viewer,
            viewer_life: life,
            link,
            shard,
            seat: Some(seat),
            tick_at: None,
            is_client_open: true,
            is_cut: false,
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            arrived: 0,
            to_server_last: 0,
            to_client_last: 0,
        };
        self.trace.note(self.now, "connects", &[viewer as u64, id]);
        self.conns.insert(id, conn);
        self.send_down(id, Down::Opened);
        self.schedule_session(id);
    }

    pub(crate) fn dial_fails(&mut self, viewer: usize, life: Life, link: Link) {
        if self.viewers[viewer].is_alive(life) {
            self.lose(viewer, link, Loss::Cut { why: "refused".to_owned() });
        }
    }

    pub(crate) fn conn_of(&self, viewer: usize, link: Link) -> Option<ConnId> {
        let life = self.viewers[viewer].life;
        let is_it = |conn: &&Conn| conn.viewer == viewer && conn.viewer_life == life && conn.link == link;
        self.conns.values().find(is_it).map(|conn| conn.id)
    }

    pub(crate) fn window_of(&self, conn: ConnId) -> usize {
        self.viewers[self.conns[&conn].viewer].config.window.map_or(256 * 1024, |window| window as usize)
    }

    pub(crate) fn send_up(&mut self, conn: ConnId, text: &str) {
        let at = self.now + self.latency();
        let Some(conn) = self.conns.get_mut(&conn).filter(|conn| !conn.is_cut) else { return };
        conn.to_server_last = conn.to_server_last.max(at);
        conn.to_server.push_back(text.into());
        self.agenda.add(conn.to_server_last, Event::ToServer { conn: conn.id });
    }

    pub(crate) fn send_down(&mut self, conn: ConnId, down: Down) {
        let at = self.now + self.latency();
        let Some(conn) = self.conns.get_mut(&conn).filter(|conn| !conn.is_cut) else { return };
        conn.to_client_last = conn.to_client_last.max(at);
        conn.to_client.push_back(down);
        self.agenda.add(conn.to_client_last, Event::ToClient { conn: conn.id });
    }

    pub(crate) fn reaches_server(&mut self, conn: ConnId) {
        let Some(text) = self.conns.get_mut(&conn).and_then(|conn| conn.to_server.pop_front()) else {
            return;
        };
        if self.has_seat(conn) {
            self.hears(conn, &text);
            self.schedule_session(conn);
        }
    }

    pub(crate) fn reaches_client(&mut self, conn: ConnId) {
        let Some(place) = self.conns.get_mut(&conn) else { return };
        place.arrived = place.to_client.len().min(place.arrived + 1);
        self.read(conn);
    }

    /// The viewer reads what is there, as long as its application has room.
    pub(crate) fn read(&mut self, conn: ConnId) {
        while let Some(place) = self.conns.get_mut(&conn)
            && place.is_client_open
            && place.arrived > 0
            && self.viewers[place.viewer].has_room()
        {
            place.arrived -= 1;
            let (viewer, link) = (place.viewer, place.link);
            let down = place.to_client.pop_front().expect("what has arrived");
            match down {
                Down::Opened => self.viewer_connected(viewer, link),
                Down::Frame(frame) => self.viewer_receives(viewer, link, text_of(&frame)),
                Down::Closed(code, reason) => {
                    self.client_leaves(conn);
                    self.lose(viewer, link, Loss::Closed { code, reason });
                }
            }
        }
    }

    /// A connection breaks: what is under way is lost, and each end learns it sooner, later or never.
    pub(crate) fn cut(&mut self, conn: ConnId) {
        let Some(place) = self.conns.get_mut(&conn) else { return };
        place.is_cut = true;
        place.to_server.clear();
        place.to_client.truncate(place.arrived);
        let (server, client) = (self.random.below(3_000), self.random.below(3_000));
        if self.random.chance(500) {
            self.agenda.add(self.now + server, Event::ServerLearns { conn });
        }
        if self.random.chance(500) {
            self.agenda.add(self.now + client, Event::ClientLearns { conn });
        }
    }

    pub(crate) fn client_learns(&mut self, conn: ConnId) {
        let Some(place) = self.conns.get(&conn).filter(|conn| conn.is_client_open) else { return };
        let (viewer, link) = (place.viewer, place.link);
        self.client_leaves(conn);
        self.lose(viewer, link, Loss::Cut { why: "reset".to_owned() });
    }

    /// The viewer's end closes; the gateway learns it as fast as bytes travel, unless the path is cut.
    pub(crate) fn client_closes(&mut self, conn: ConnId) {
        self.client_leaves(conn);
        let at = self.now + self.latency();
        if let Some(place) = self.conns.get_mut(&conn)
            && !place.is_cut
        {
            self.agenda.add(at.max(place.to_server_last), Event::ServerLearns { conn });
        }
    }

    fn client_leaves(&mut self, conn: ConnId) {
        if let Some(place) = self.conns.get_mut(&conn) {
            place.is_client_open = false;
            place.to_client.clear();
            place.arrived = 0;
        }
        self.forget(conn);
    }

    /// Drops a connection that neither end has any more.
    pub(crate) fn forget(&mut self, conn: ConnId) {
        if self.conns.get(&conn).is_some_and(|conn| conn.seat.is_none() && !conn.is_client_open) {
            self.conns.remove(&conn);
        }
    }
}

/// The text of a whole unmasked frame.
fn text_of(frame: &Bytes) -> Bytes {
    let header_bytes = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    frame.slice(header_bytes..)
}
