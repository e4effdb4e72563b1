//! What operators see: logs and metrics.

mod histogram;
mod log;
mod metrics;

pub use histogram::Histogram;
pub use log::{LogError, LogFormat, start_logging};
pub use metrics::{METRICS, Metric, MetricKind, Metrics, RouteClass, Value, reference};

/// Compares a committed document with what the code says it is; writes it where `WAGGLE_BLESS` is set.
#[cfg(test)]
pub(crate) fn assert_document(path: &str, wanted: &str) {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    if std::env::var_os("WAGGLE_BLESS").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, wanted).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == wanted, "{path} is not what the code says; write it anew with WAGGLE_BLESS=1");
}
