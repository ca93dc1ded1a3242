//! The gateway alone, for measuring it: `serve FOLDER SOCKET`. The product starts it as `longhaul __gateway`, which also
//! looks at who asks.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a tool that fails loudly"
)]

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

use longhaul_gateway::{Parts, Place, Times, WayOut};

fn main() {
    let mut args = std::env::args().skip(1);
    let (folder, socket) = (args.next().unwrap(), args.next().unwrap());
    let parts = Parts {
        place: Place::take(Path::new(&folder)).unwrap(),
        control: UnixListener::bind(socket).unwrap(),
        may_control: Arc::new(|_| true),
        version: "bench".to_owned(),
        times: Times::default(),
        way: WayOut::default(),
    };
    longhaul_gateway::run(parts).unwrap();
}
