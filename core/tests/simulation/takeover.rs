//! A second gateway takes over from the first, whose sessions stay until they have moved.

use crate::world::World;

impl World {
    /// The old gateway lets go of the log: what is committed from now on, its sessions are not told. It
    /// tells them to go, and closes each within the spread.
    pub(crate) fn take_over(&mut self, after_ms: u64, spread_ms: u64) {
        if self.gateway.is_none() {
            return;
        }
        self.trace.note(self.now, "takeover", &[after_ms, spread_ms]);
        self.drain(after_ms, spread_ms);
        let seated: Vec<_> = self.conns.keys().copied().filter(|conn| self.has_seat(*conn)).collect();
        for conn in seated {
            let feed = self.feed(conn);
            let seat = self.seat(conn);
            if seat.left_at.is_none() && seat.session.is_open() {
                seat.left_at = Some(feed);
                self.reached.left += 1;
            }
        }
        // What it was committing lands or not; those who asked for it ask again.
        self.writer_dies();
        self.gateway = None;
        self.gateway_starts();
    }
}
