//! Where the test and its gateways live: a cgroup for the clients, and one beside it for gateways.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process;

use parking_lot::{Mutex, MutexGuard};
use waggle_accel::redirect::self_test;
use waggle_accel::{Hazard, own_cgroup};

/// One test at a time: the whole process moves.
static TURN: Mutex<()> = Mutex::new(());

/// This process lives in the clients' cgroup until it is dropped.
pub(crate) struct Place {
    from: PathBuf,
    pub(crate) clients: PathBuf,
    pub(crate) gateways: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

impl Place {
    /// `None` where the machine cannot do it, which is then said.
    pub(crate) fn take(test: &str) -> Option<Self> {
        let turn = TURN.lock();
        let reason = match self_test() {
            // A test's clients never ask how much there is.
            Ok(report) => report.failure(&[Hazard::Fionread]),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                Some(format!("{error}{}", cause.unwrap_or_default()))
            }
        };
        if let Some(reason) = reason {
            skip(test, &reason);
            return None;
        }
        let from = own_cgroup().expect("cgroup v2");
        let name = |what: &str| from.join(format!("waggle-redirect-{what}-{}", process::id()));
        let place =
            Self { clients: name("clients"), gateways: name("gateways"), from: from.clone(), _turn: turn };
        for folder in [&place.clients, &place.gateways] {
            fs::create_dir(folder).expect("a cgroup");
        }
        move_to(&place.clients);
        Some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        move_to(&self.from);
        // What a killed gateway has left.
        let left = fs::read_dir(&self.gateways).into_iter().flatten().flatten();
        left.filter(|entry| entry.path().is_dir()).for_each(|entry| drop(fs::remove_dir(entry.path())));
        for folder in [&self.clients, &self.gateways] {
            if let Err(error) = fs::remove_dir(folder) {
                eprintln!("{} stays behind: {error}", folder.display());
            }
        }
    }
}

fn move_to(folder: &Path) {
    fs::write(folder.join("cgroup.procs"), "0").expect("root may move itself");
}

fn skip(test: &str, reason: &str) {
    println!("SKIPPED: {test}: {reason}");
    if let Some(log) = std::env::var_os("WAGGLE_SKIP_LOG") {
        let mut log = fs::OpenOptions::new().append(true).create(true).open(log).unwrap();
        writeln!(log, "{test}: {reason}").unwrap();
    }
}
