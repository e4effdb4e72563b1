//! What a command's answer does to the load.

use anyhow::{Context, Result};

use super::Load;
use crate::lane::{Lane, LaneError};
use crate::poller::Ready;
use crate::wire::http::Head;
use crate::wire::message::EventKey;

impl Load {
    pub(super) fn on_lane(&mut self, index: u32, ready: Ready) -> Result<()> {
        let Some(lane) = self.lanes.get_mut(index as usize) else { return Ok(()) };
        let mut result = if ready.writable { lane.flush(&self.poller) } else { Ok(()) }.map(|()| None);
        if result.is_ok() && ready.readable {
            result = lane.receive();
        }
        match result {
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
        let error = error.to_string();
        self.recorder.error(&error);
        self.first_error.get_or_insert(error);
        // As above.
        match self.jobs[index as usize].take() {
            Some(job) => {
                self.tickets.retire(job.place);
                self.recorder.refused(job.ticket, job.version);
            }
            // It waited among the idle ones.
            None => self.idle.retain(|idle| *idle != index),
        }
        self.reconnect(index)
    }

    fn reconnect(&mut self, index: u32) -> Result<()> {
        // As above; and there is a target, or there were no lanes.
        let target = &self.targets[index as usize % self.targets.len()];
        let lane = Lane::connect(target, index, &self.poller)
            .with_context(|| format!("cannot connect again to {}", target.api))?;
        self.lanes[index as usize] = lane;
        self.idle.push_back(index);
        Ok(())
    }
}
