//! Notable moments: timeouts and dead peers, as the program reports them.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aya::maps::{MapData, RingBuf};
use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use waggle_ebpf::{Account, Moment, MomentKind};

use super::legs::{MomentReport, What};
use super::reader::Reader;

/// Moments that are kept; older ones go.
const KEPT_MAX: usize = 256;

/// The latest moments; read from the ring buffer until this is dropped.
#[derive(Debug)]
pub(super) struct Moments {
    latest: Arc<Mutex<VecDeque<MomentReport>>>,
    _reader: Reader,
}

impl Moments {
    pub(super) fn start(ring: RingBuf<MapData>) -> io::Result<Self> {
        let latest = Arc::new(Mutex::new(VecDeque::new()));
        let into = Arc::clone(&latest);
        let reader = Reader::start("ebpf-moments", ring, move |ring| {
            while let Some(item) = ring.next() {
                if let Some(moment) = Moment::from_bytes(&item).and_then(|moment| report(&moment)) {
                    keep(&mut into.lock(), moment);
                }
            }
        })?;
        Ok(Self { latest, _reader: reader })
    }

    /// Oldest first.
    pub(super) fn latest(&self) -> Vec<MomentReport> {
        self.latest.lock().iter().cloned().collect()
    }
}

fn keep(latest: &mut VecDeque<MomentReport>, moment: MomentReport) {
    if latest.len() == KEPT_MAX {
        latest.pop_front();
    }
    latest.push_back(moment);
}

fn report(moment: &Moment) -> Option<MomentReport> {
    let Some(Account::Leg(leg)) = Account::from_number(moment.account) else {
        return None;
    };
    let what = match MomentKind::from_number(moment.kind)? {
        MomentKind::Timeout => What::Timeout,
        MomentKind::Dead => What::Dead,
    };
    let address = IpAddr::V6(Ipv6Addr::from(moment.address)).to_canonical();
    Some(MomentReport {
        at_unix_ms: unix_ms(moment.at_ns),
        leg: leg.name().to_owned(),
        what,
        timeouts: moment.timeouts,
        peer: SocketAddr::new(address, u16::try_from(moment.port).ok()?),
        cookie: moment.cookie,
    })
}

/// Nanoseconds since boot as milliseconds since 1970.
fn unix_ms(at_ns: u64) -> u64 {
    let boot = clock_gettime(ClockId::Boottime);
    let boot = Duration::try_from(boot).unwrap_or_default();
    let ago = boot.saturating_sub(Duration::from_nanos(at_ns));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.saturating_sub(ago).as_millis()).unwrap_or(u64::MAX)
}
