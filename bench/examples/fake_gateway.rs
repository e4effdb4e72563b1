//! A gateway that stores nothing, as a process: `waggle-bench run commands --gateway fake_gateway` measures
//! the generator's own ceiling with it. Flags of `waggle serve` are taken and ignored.

#![allow(clippy::unwrap_used)]

#[path = "../tests/fake/mod.rs"]
mod fake;

fn main() {
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let kind = tokio::signal::unix::SignalKind::terminate();
            tokio::signal::unix::signal(kind).unwrap().recv().await;
            std::process::exit(0);
        });
    });
    fake::run(fake::Behaviour::default(), |address| {
        let pid = std::process::id();
        println!(
            r#"{{"ready":true,"pid":{pid},"api":"{address}","push":"{address}","push_unix":null,"demo":{{"tenant":{{"id":1,"name":"demo"}},"queues":[{{"id":1,"name":"support"}}],"agents":[{{"id":1,"name":"a","token":"t"}}],"admin":{{"token":"t"}}}}}}"#
        );
    });
}
