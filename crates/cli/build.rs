//! Links the program at a fixed address (docs/decisions/010): it starts in two thirds of the time.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let target = |part: &str| std::env::var(format!("CARGO_CFG_TARGET_{part}"));
    let is = |part: &str, word: &str| target(part).is_ok_and(|value| value == word);
    if is("OS", "linux") && is("ENV", "gnu") {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}
