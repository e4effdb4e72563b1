//! What a command's answer does to the load.

use anyhow::{Context, Result};

use super::Load;
use crate::lane::{Lane, LaneError};
use crate::poller::Ready;
use crate::wire::http::Head;
use crate::wire::message::EventKey;

/// Before a command that was refused or lost is sent again, in nanoseconds.
const AGAIN_NS: u64 = 20_000_000;

impl Load {
    pub(super) fn on_lane(&mut self, index: u32, ready: Ready) -> Result<()> {
        let Some(lane) = self.lanes.get_mut(index as usize) else { return Ok(()) };
        match lane.on_ready(&self.poller, ready) {
            Ok(None) => Ok(()),
            Ok(Some(head)) => self.answer(index, head),
            Err(error) => self.replace(index, &error),
        }
    }

    fn answer(&mut self, index: u32, head: Head) -> Result<()> {
        let now_ns = self.clock.now_ns();
        let at = index as usize;
        // Lanes and jobs have the same length, and the index came from a lane's key.
        let (lane, job) = (&mut self.lanes[at], self.jobs[at].take());
        let Some(job) = job else {
            return self.replace(index, &LaneError::Unasked);
        };
        if head.status == 200 || head.status == 201 {
            let version = EventKey::parse(lane.body(&head)).map(|event| event.version);
            if version != Some(job.version) {
                self.recorder.error("an answer without the event that was asked for");
            }
            self.recorder.answered(job.intended_ns, now_ns);
            self.tickets.moved(job.place, job.version);
        } else if matches!(head.status, 409 | 412) && self.forgives {
            // It was sent again, and the first one was taken: the ticket is where it was to go.
            self.recorder.answered(job.intended_ns, now_ns);
            self.tickets.moved(job.place, job.version);
        } else if head.status == 503 && self.forgives {
            lane.done(&head);
            self.jobs[at] = Some(job);
            self.break_off(index);
            return Ok(());
        } else {
            let body = String::from_utf8_lossy(lane.body(&head)).chars().take(400).collect::<String>();
            let status = head.status;
            self.recorder.error(&format!("http {status}"));
            self.first_error.get_or_insert_with(|| format!("http {status}: {body}"));
            self.recorder.refused(job.ticket, job.version);
            match status {
                // Refused before anything was done.
                429 | 503 => self.tickets.unmoved(job.place),
                _ => self.tickets.retire(job.place),
            }
        }
        lane.done(&head);
        if head.close {
            return self.reconnect(index);
        }
        self.idle.push_back(index);
        Ok(())
    }

    /// A lane is lost: its command's fate is not known.
    pub(super) fn replace(&mut self, index: u32, error: &LaneError) -> Result<()> {
        // As above.
        let at = index as usize;
        if self.forgives {
            if self.jobs[at].is_none() {
                self.idle.retain(|idle| *idle != index);
            }
            self.break_off(index);
            return Ok(());
        }
        let error = error.to_string();
        self.recorder.error(&error);
        self.first_error.get_or_insert(error);
        match self.jobs[at].take() {
            Some(job) => {
                self.tickets.retire(job.place);
                self.recorder.refused(job.ticket, job.version);
            }
            // It waited among the idle ones.
            None => self.idle.retain(|idle| *idle != index),
        }
        self.reconnect(index)
    }

    /// The lane is connected again in a moment; it may have been said before, and be said once more when
    /// the server closes it.
    fn break_off(&mut self, index: u32) {
        if self.broken.iter().all(|(_, broken)| *broken != index) {
            self.broken.push_back((self.clock.now_ns() + AGAIN_NS, index));
        }
    }

    /// Connects lost lanes again whose time has come, and sends their commands again.
    pub(super) fn mend(&mut self) -> Result<()> {
        let now_ns = self.clock.now_ns();
        while let Some((due_ns, index)) = self.broken.front().copied()
            && due_ns <= now_ns
        {
            self.broken.pop_front();
            let at = index as usize;
            let target = &self.targets[at % self.targets.len()];
            let Ok(mut lane) = Lane::connect(target, index, &self.poller) else {
                self.broken.push_back((now_ns + AGAIN_NS, index));
                continue;
            };
            let mut sent = Ok(());
            match self.jobs[at] {
                None => self.idle.push_back(index),
                Some(job) => {
                    sent = lane.send(&self.poller, |requests, out| {
                        requests.move_to(out, job.ticket, job.status, u64::from(job.version - 1));
                    });
                }
            }
            self.lanes[at] = lane;
            if let Err(error) = sent {
                self.replace(index, &error)?;
            }
        }
        Ok(())
    }

    fn reconnect(&mut self, index: u32) -> Result<()> {
        // As above; and there is a target, or there were no lanes.
        let target = &self.targets[index as usize % self.targets.len()];
        let lane = Lane::connect(target, index, &self.poller)
            .with_context(|| format!("cannot connect again to {}", target.api));
        match lane {
            Ok(lane) => {
                self.lanes[index as usize] = lane;
                self.idle.push_back(index);
                Ok(())
            }
            Err(_) if self.forgives => {
                self.break_off(index);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
