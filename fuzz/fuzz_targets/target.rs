//! One program for all targets: `LONGHAUL_FUZZ_TARGET` says which.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use longhaul_fuzz::{TARGETS, Target, target};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("LONGHAUL_FUZZ_TARGET").unwrap_or_default();
    target(&name).unwrap_or_else(|| {
        let names: Vec<&str> = TARGETS.iter().map(|t| t.name).collect();
        panic!("LONGHAUL_FUZZ_TARGET is none of: {}", names.join(" "))
    })
});

fuzz_target!(|data: &[u8]| (TARGET.run)(data));
