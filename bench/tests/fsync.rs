//! Counting calls for durability with a real strace, of this process.

use std::fs::File;

use waggle_bench::fsync::Tracer;

#[test]
fn calls_of_a_traced_process_are_counted() {
    let tracer = match Tracer::attach(std::process::id()) {
        Ok(tracer) => tracer,
        Err(error) => {
            eprintln!("SKIPPED: fsync calls cannot be counted here: {error:#}");
            return;
        }
    };
    let dir = tempfile::tempdir().unwrap();
    let file = File::create(dir.path().join("file")).unwrap();
    for _ in 0..3 {
        file.sync_data().unwrap();
    }
    file.sync_all().unwrap();
    assert_eq!(tracer.detach().unwrap(), 4);
}
