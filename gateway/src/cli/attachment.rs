//! `waggle admin attachment`: whether files of tickets are there, and are what they were.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;
use waggle_core::time::Timestamp;

use super::admin::Admin;
use super::output::{Output, print, print_json};
use crate::app::open_attachments;
use crate::attachment::{Attachments, Contents, Fault, Others, Plan, Unreferenced, Verified, verify};
use crate::config::Config;
use crate::data_dir::DataDir;

#[derive(Subcommand)]
pub(super) enum AttachmentAction {
    /// Prove that files can be kept where the configuration says: puts a small one there, reads it and removes it.
    Check(Where),
    /// Read all files of all tickets, and name those that are missing, damaged, or no ticket's.
    Verify {
        #[command(flatten)]
        place: Where,
        /// Say only which are missing, without reading what is there.
        #[arg(long)]
        skip_contents: bool,
        /// Delete files that no ticket has, while no gateway runs.
        #[arg(long)]
        delete_unreferenced: bool,
        /// Only files that have been there for so many hours count as no ticket's.
        #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=876_000))]
        min_age_hours: u32,
    },
}

/// Where files are kept.
#[derive(Args)]
pub(super) struct Where {
    /// The gateway's configuration; without it, and without its variables, files are in the data directory.
    #[arg(long, value_name = "FILE", env = "WAGGLE_CONFIG")]
    config: Option<PathBuf>,
}

/// Files that tickets have are not there, or not what they were.
#[derive(Debug, thiserror::Error)]
#[error("{missing} files are missing and {damaged} are damaged; restore them from a backup")]
pub(super) struct Lost {
    missing: u64,
    damaged: u64,
}

impl Where {
    fn open(&self, dir: &DataDir) -> anyhow::Result<Attachments> {
        let config = Config::load(self.config.as_deref(), &json!({}))?;
        open_attachments(dir, &config.attachments, Others::Gateway).context("attachments cannot be kept")
    }
}

pub(super) async fn run(admin: &Admin, dir: &DataDir, action: AttachmentAction) -> anyhow::Result<()> {
    match action {
        AttachmentAction::Check(place) => {
            let attachments = place.open(dir)?;
            attachments.check().await.context("files cannot be kept")?;
            match admin.output {
                Output::Json => print_json(&json!({"ok": true})),
                Output::Human => print("a file was kept, read, listed and removed\n"),
            }
        }
        AttachmentAction::Verify { place, skip_contents, delete_unreferenced, min_age_hours } => {
            let attachments = place.open(dir)?;
            let before = hours_ago(min_age_hours);
            let mut removed = None;
            if delete_unreferenced {
                // A ticket may get a file that is there already at any moment while a gateway runs.
                let _lock = dir.lock()?;
                let plan = Plan { contents: Contents::Skip, unreferenced: Unreferenced::Remove, before };
                removed = Some(verify(&attachments, admin.store.as_ref(), plan).await?);
            }
            let contents = if skip_contents { Contents::Skip } else { Contents::Read };
            let plan = Plan { contents, unreferenced: Unreferenced::Report, before };
            let mut found = verify(&attachments, admin.store.as_ref(), plan).await?;
            if let Some(removed) = removed {
                found.removed = removed.removed;
                let gone = removed.findings.into_iter().filter(|finding| finding.fault == Fault::Removed);
                found.findings.extend(gone);
            }
            tell(admin.output, &found)?;
            let Verified { missing, damaged, .. } = found;
            if missing + damaged == 0 { Ok(()) } else { Err(Lost { missing, damaged }.into()) }
        }
    }
}

fn tell(output: Output, found: &Verified) -> anyhow::Result<()> {
    let Verified { files, bytes, missing, damaged, unreferenced, removed, findings } = found;
    match output {
        Output::Json => {
            let named: Vec<_> = findings
                .iter()
                .map(|finding| json!({"hash": finding.hash.to_string(), "fault": finding.fault}))
                .collect();
            print_json(&json!({
                "files": files, "bytes": bytes, "missing": missing, "damaged": damaged,
                "unreferenced": unreferenced, "removed": removed, "findings": named,
            }))
        }
        Output::Human => {
            let mut text = String::new();
            for finding in findings {
                let fault = match finding.fault {
                    Fault::Missing => "missing",
                    Fault::Damaged => "damaged",
                    Fault::Unreferenced => "unreferenced",
                    Fault::Removed => "removed",
                };
                text.push_str(&format!("{fault:<12}  {}\n", finding.hash));
            }
            text.push_str(&format!(
                "{files} files of {bytes} bytes: {missing} missing, {damaged} damaged; besides them {unreferenced} of \
                 no ticket, {removed} removed\n"
            ));
            print(&text)
        }
    }
}

fn hours_ago(hours: u32) -> Timestamp {
    let ago = SystemTime::now().checked_sub(Duration::from_secs(u64::from(hours) * 3_600));
    let since = ago.and_then(|then| then.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or_default())
}
