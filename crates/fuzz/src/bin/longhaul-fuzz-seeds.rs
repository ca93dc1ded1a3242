//! Names the targets; or writes one's first inputs into a folder and its words beside it, as libFuzzer
//! takes them.
//!
//! `longhaul-fuzz-seeds [TARGET FOLDER]`

#![expect(clippy::print_stdout, reason = "it is a program of the development")]

use std::path::Path;

use longhaul_fuzz::{TARGETS, target};

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, folder] = arguments.as_slice() else {
        TARGETS.iter().for_each(|t| println!("{}", t.name));
        return Ok(());
    };
    let Some(target) = target(name) else {
        return Err(std::io::Error::other(format!(
            "there is no target `{name}`"
        )));
    };
    std::fs::create_dir_all(folder)?;
    for (n, input) in target.inputs().iter().enumerate() {
        std::fs::write(Path::new(folder).join(format!("seed-{n:03}")), input)?;
    }
    let escaped = |word: &str| -> String { word.bytes().map(|b| format!("\\x{b:02x}")).collect() };
    let words: String = target
        .words
        .iter()
        .map(|w| format!("\"{}\"\n", escaped(w)))
        .collect();
    std::fs::write(format!("{folder}.dict"), words)
}
