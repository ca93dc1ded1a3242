//! Ends the build on other systems with one sentence instead of a page of missing functions.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // The system that is built for, not the one that builds.
    let system = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if system != "linux" {
        println!(
            "cargo::error=Longhaul runs on Linux only: its shims need pidfds, cgroups and Landlock. On {system}, use a Linux machine or a virtual one."
        );
    }
}
