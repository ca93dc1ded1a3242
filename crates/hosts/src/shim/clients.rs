//! The shim's socket: who is connected, what they asked, what they are told. Bounded; hostile bytes
//! cost a client its connection and nobody else anything.

use std::io::{ErrorKind, Read};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use crate::authority::{Authority, peer_authority};
use crate::protocol::{Event, Lines, PROTOCOL_MIN, Refusal, Request, encode};
use crate::record::PROTOCOL_VERSION;

/// Most clients at a time; one more pushes out the oldest that does not watch.
const MAX_CLIENTS: usize = 16;

/// Most bytes that may wait for a client that does not read.
const MAX_WAITING_BYTES: usize = 64 * 1024;

/// Least time between two words of growth to one client.
const GROWTH_INTERVAL: Duration = Duration::from_millis(10);

/// How often somebody is looked at who cannot be told apart.
const LOOKS: u32 = 4;

/// One connection.
#[derive(Debug)]
pub(super) struct Client {
    socket: UnixStream,
    lines: Lines,
    waiting: Vec<u8>,
    watches: bool,
    told: (u64, u64),
    told_at: Instant,
    gone: bool,
}

/// All connections.
#[derive(Debug, Default)]
pub(super) struct Clients {
    all: Vec<Client>,
}

impl Clients {
    /// Takes everyone who waits at the door. Refused without a word: other users, sessions (I17),
    /// and those whose ancestry cannot be read.
    pub(super) fn accept(&mut self, listener: &UnixListener) {
        while let Ok((socket, _)) = listener.accept() {
            if !may_speak(&socket) || socket.set_nonblocking(true).is_err() {
                continue;
            }
            if self.all.len() >= MAX_CLIENTS {
                let oldest = self.all.iter().position(|client| !client.watches);
                self.all.remove(oldest.unwrap_or(0));
            }
            self.all.push(Client {
                socket,
                lines: Lines::default(),
                waiting: Vec::new(),
                watches: false,
                told: (u64::MAX, u64::MAX),
                told_at: Instant::now(),
                gone: false,
            });
        }
    }

    /// The sockets, and whether each has something waiting to be written.
    pub(super) fn sockets(&self) -> impl Iterator<Item = (&UnixStream, bool)> {
        self.all
            .iter()
            .map(|client| (&client.socket, !client.waiting.is_empty()))
    }

    /// Reads from the client at `index` and answers through `carry_out`.
    pub(super) fn serve(
        &mut self,
        index: usize,
        key: &str,
        mut carry_out: impl FnMut(Request) -> Event,
    ) {
        let Some(client) = self.all.get_mut(index) else {
            return;
        };
        let mut chunk = [0; 4096];
        match client.socket.read(&mut chunk) {
            Ok(0) => client.gone = true,
            Ok(read) => client.lines.push(&chunk[..read]),
            Err(err) if matches!(err.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => client.gone = true,
        }
        loop {
            let line = match client.lines.next() {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(_) => {
                    client.gone = true;
                    break;
                }
            };
            let answer = match serde_json::from_slice::<Request>(&line) {
                Ok(Request::Hello { version }) if version >= PROTOCOL_MIN => Event::Hello {
                    version: version.min(PROTOCOL_VERSION),
                    key: key.to_owned(),
                },
                Ok(Request::Hello { .. }) | Err(_) => Event::Refused {
                    reason: Refusal::BadRequest,
                },
                Ok(Request::Watch) => {
                    client.watches = true;
                    Event::Ok
                }
                Ok(request) => carry_out(request),
            };
            client.say(&answer);
        }
    }

    /// Tells watchers how long the logs are, not too often. Returns when to call again.
    pub(super) fn tell_growth(&mut self, lengths: (u64, u64)) -> Option<Instant> {
        let now = Instant::now();
        let mut again: Option<Instant> = None;
        for client in self.all.iter_mut().filter(|client| client.watches) {
            if client.told == lengths {
                continue;
            }
            let due = client.told_at + GROWTH_INTERVAL;
            if client.told.0 == u64::MAX || (due <= now && client.waiting.is_empty()) {
                client.told = lengths;
                client.told_at = now;
                client.say(&Event::Grew {
                    out: lengths.0,
                    err: lengths.1,
                });
            } else if client.waiting.is_empty() {
                again = Some(again.map_or(due, |other| other.min(due)));
            }
        }
        again
    }

    /// Writes what waits, as far as the clients take it, and forgets those that are gone.
    pub(super) fn flush(&mut self) {
        for client in &mut self.all {
            client.flush();
        }
        self.all.retain(|client| !client.gone);
    }

    /// The last word to watchers. Does not wait for those who do not read.
    pub(super) fn tell_end(&mut self, lengths: (u64, u64)) {
        for client in self.all.iter_mut().filter(|client| client.watches) {
            client.say(&Event::Grew {
                out: lengths.0,
                err: lengths.1,
            });
            client.say(&Event::Exited);
            client.flush();
        }
        self.all.clear();
    }
}

impl Client {
    fn say(&mut self, event: &Event) {
        self.waiting.extend(encode(event));
        if self.waiting.len() > MAX_WAITING_BYTES {
            self.gone = true;
        }
    }

    fn flush(&mut self) {
        while !self.gone && !self.waiting.is_empty() {
            match longhaul_acts::files::write_some("shim.answer", &mut self.socket, &self.waiting) {
                Ok(written) => drop(self.waiting.drain(..written)),
                Err(err) if err.kind() == ErrorKind::WouldBlock => return,
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.gone = true,
            }
        }
    }
}

fn may_speak(socket: &UnixStream) -> bool {
    let Ok(peer) = rustix::net::sockopt::socket_peercred(socket) else {
        return false;
    };
    let mine = rustix::process::geteuid();
    if peer.uid != mine && !peer.uid.is_root() {
        return false;
    }
    let Ok(pid) = u32::try_from(peer.pid.as_raw_nonzero().get()) else {
        return false;
    };
    // A parent that goes in the middle of a look leaves nothing to be told, as the starter of a daemon
    // does; the next look sees who took its child over.
    let told = (0..LOOKS)
        .map(|_| peer_authority(pid))
        .find(|told| *told != Authority::Unknown);
    told == Some(Authority::Person)
}
