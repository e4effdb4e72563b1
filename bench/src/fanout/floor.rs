//! The floor: a server that does nothing but one `send(2)` for each session, of the same bytes that Waggle
//! sends. No server that sends to each of its sessions costs less on this machine.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use rustix::net::SendFlags;
use waggle_accel::{Accel, AccelConfig, Hazard, Mode, Redirect, RedirectConfig, RedirectMode};

use crate::stream::Address;

/// Serves until it is ended. Sessions say `s`, the publisher says `p`, both with a topic of eight digits.
///
/// # Errors
/// Where a socket fails.
pub fn serve(address: &Address, publisher: &Address, sessions: usize, is_broadcast: bool) -> Result<()> {
    let mut topics: Vec<OwnedFd> = Vec::with_capacity(sessions);
    let mut accept = listen(address)?;
    let Address::Tcp(publisher) = publisher else { bail!("the publisher comes by TCP") };
    let publishers = TcpListener::bind(publisher)?;
    println!("ready");
    while topics.len() < sessions {
        let socket = accept()?;
        let mut line = [0; 10];
        let mut read = 0;
        while let Some(rest) = line.get_mut(read..).filter(|rest| !rest.is_empty()) {
            read += rustix::io::read(&socket, rest)?;
        }
        rustix::net::send(&socket, b"ok\n", SendFlags::NOSIGNAL)?;
        topics.push(socket);
    }
    // All publishers' messages come one after the other, whichever sent them.
    let (messages, incoming) = std::sync::mpsc::sync_channel::<(usize, Vec<u8>)>(1024);
    std::thread::spawn(move || {
        for stream in publishers.incoming().flatten() {
            let messages = messages.clone();
            std::thread::Builder::new()
                .stack_size(64 * 1024)
                .spawn(move || read_messages(stream, |topic, frame| messages.send((topic, frame)).is_ok()))
                .ok();
        }
    });
    for (topic, frame) in incoming {
        let to = if is_broadcast { 0..topics.len() } else { topic..topic + 1 };
        for socket in topics.get(to).context("a topic without a session")? {
            // A session that does not keep up loses the message, which is an error of the run.
            let _ = rustix::net::send(socket, &frame, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        }
    }
    Ok(())
}

/// Has what is sent to sessions in the cgroup `from` redirected, until the value is dropped.
///
/// # Errors
/// Where the kernel does not do it.
pub fn redirect(from: PathBuf, tcp: Option<SocketAddr>) -> Result<(Redirect, Accel)> {
    let accel = Accel::start(AccelConfig { mode: Mode::Auto, ..AccelConfig::default() })?;
    let config =
        RedirectConfig { mode: RedirectMode::On, cgroups: vec![from], accept: vec![Hazard::Fionread] };
    let own = accel.cgroup();
    let own = own.as_ref().map(PathBuf::as_path).map_err(String::as_str);
    let redirect = Redirect::start(&config, Mode::Require, own, None)?;
    redirect.set_port(tcp.context("only TCP is redirected")?.port());
    Ok((redirect, accel))
}

fn read_messages(stream: std::net::TcpStream, mut take: impl FnMut(usize, Vec<u8>) -> bool) {
    let Ok(mut answer) = stream.try_clone() else { return };
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    if reader.read_line(&mut line).is_err() || answer.write_all(b"ok\n").is_err() {
        return;
    }
    let mut head = [0; 16];
    while reader.read_exact(&mut head).is_ok() {
        let number = |digits: &[u8]| std::str::from_utf8(digits).ok()?.parse::<usize>().ok();
        let (topic, bytes) = head.split_at(8);
        let (Some(topic), Some(bytes)) = (number(topic), number(bytes)) else { return };
        let mut frame = vec![0; bytes.min(64 * 1024)];
        if reader.read_exact(&mut frame).is_err() || !take(topic, frame) {
            return;
        }
    }
}

fn listen(address: &Address) -> Result<Box<dyn FnMut() -> std::io::Result<OwnedFd>>> {
    Ok(match address {
        Address::Tcp(address) => {
            let listener = TcpListener::bind(address)?;
            rustix::net::listen(listener.as_fd(), 4_096)?;
            Box::new(move || {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                Ok(stream.into())
            })
        }
        Address::Unix(path) => {
            let listener = UnixListener::bind(path)?;
            rustix::net::listen(listener.as_fd(), 4_096)?;
            Box::new(move || Ok(listener.accept()?.0.into()))
        }
        Address::Tls(..) => bail!("the floor has no TLS"),
    })
}
