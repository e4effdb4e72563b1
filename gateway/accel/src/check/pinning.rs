//! Pinning, tried with a map.

use std::fs;
use std::path::{Path, PathBuf};

use aya::EbpfLoader;
use aya::maps::MapData;
use waggle_ebpf::guard::MAP_LIMITS;

use super::{CheckConfig, FeatureCheck, advice};
use crate::Unavailable;
use crate::capability;
use crate::ebpf::load_error;
use crate::error::chain;
use crate::object_file::{Object, ObjectFile};
use crate::pin::{PIN_DIR_DEFAULT, PinError, check_place};

/// Whether objects can outlive their process here.
pub(super) fn feature(config: &CheckConfig) -> FeatureCheck {
    let dir = config.pin_dir.clone().unwrap_or_else(|| PathBuf::from(PIN_DIR_DEFAULT));
    let (rung, reason, change) = match trial(&dir) {
        Ok(()) => ("on", format!("a map was pinned below {} and found again", dir.display()), None),
        Err((reason, change)) => ("off", reason, Some(change.to_owned())),
    };
    FeatureCheck {
        feature: "pinning".to_owned(),
        rung: rung.to_owned(),
        best: "on".to_owned(),
        reason,
        change,
    }
}

fn trial(dir: &Path) -> Result<(), (String, &'static str)> {
    check_place(dir).map_err(|error| match error {
        PinError::Shared(_) => (chain(&error), "set accel.pin_dir to a folder below it"),
        _ => (chain(&error), advice::BPF_FILE_SYSTEM),
    })?;
    let refused = |error: Unavailable| (chain(&error), advice::after(&error));
    capability::check().map_err(refused)?;
    let object = ObjectFile::open(Object::Guard, None).map_err(refused)?;
    let mut bpf = EbpfLoader::new().load(&object.bytes).map_err(|error| refused(load_error(error)))?;
    let map = crate::ebpf::take_map(&mut bpf, MAP_LIMITS).map_err(refused)?;
    let trial = Trial::make(dir).map_err(|error| {
        (format!("cannot make a folder in {}: {error}", dir.display()), "let the gateway's user write there")
    })?;
    let place = trial.dir.join("map");
    let failed = |error: String| (format!("a map was not pinned: {error}"), "run Linux 5.10 or newer");
    map.pin(&place).map_err(|error| failed(chain(&error)))?;
    let found = MapData::from_pin(&place).map(drop).map_err(|error| failed(chain(&error)));
    // Whether it goes, its folder tells.
    let _ = fs::remove_file(&place);
    found
}

/// Folders that were made for the trial, gone when this is.
struct Trial {
    dir: PathBuf,
    made: Option<PathBuf>,
}

impl Trial {
    fn make(dir: &Path) -> std::io::Result<Self> {
        let made = match fs::create_dir(dir) {
            Ok(()) => Some(dir.to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => None,
            Err(error) => return Err(error),
        };
        let trial = Self { dir: dir.join(format!("check-{}", std::process::id())), made };
        fs::create_dir(&trial.dir)?;
        Ok(trial)
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // Where one of them stays, somebody has put something else into it.
        let _ = fs::remove_dir(&self.dir);
        if let Some(made) = &self.made {
            let _ = fs::remove_dir(made);
        }
    }
}
