//! Each target: what once failed, every seed, and a fixed number of mutations.
//!
//! `LONGHAUL_FUZZ_SEED` and `LONGHAUL_FUZZ_TRIES` look elsewhere and further.

use longhaul_fuzz::mutate::{Rng, mutated};
use longhaul_fuzz::{TARGETS, target};

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().expect("a number"))
}

fn drive(name: &str) {
    let target = target(name).expect("a target of this name");
    let inputs = target.inputs();
    assert!(inputs.len() > 1, "{name} has no inputs to begin with");
    for input in &inputs {
        try_one(&target, input);
    }
    let mut rng = Rng::new(number("LONGHAUL_FUZZ_SEED").unwrap_or(3));
    for _ in 0..number("LONGHAUL_FUZZ_TRIES").unwrap_or(target.tries.into()) {
        try_one(&target, &mutated(&mut rng, &inputs, target.words));
    }
}

/// Says which input it was, and how to keep it.
#[expect(clippy::print_stderr, reason = "a failing input names itself")]
fn try_one(target: &longhaul_fuzz::Target, input: &[u8]) {
    let tried = std::panic::catch_unwind(|| (target.run)(input));
    if let Err(panic) = tried {
        let file = std::env::temp_dir().join(format!("longhaul-fuzz-{}", target.name));
        std::fs::write(&file, input).expect("a temporary file");
        eprintln!(
            "{} failed; keep {} in crates/fuzz/corpus/{}/",
            target.name,
            file.display(),
            target.name
        );
        std::panic::resume_unwind(panic);
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test] fn $name() { drive(stringify!($name)); })*

        #[test]
        fn every_target_is_driven() {
            let driven = [$(stringify!($name)),*];
            let all: Vec<&str> = TARGETS.iter().map(|t| t.name).collect();
            assert_eq!(all, driven);
        }
    };
}

targets! {
    task_file settings trust_list duration size
    claude_stream codex_stream gemini_stream opencode_stream script_stream text_stream record
    limit_text script
    ids verdict api_types sse
    shim_words procfs bundle
    git_output git_config git_names git_records
    gateway_answer gateway_stream gateway_request
    api
}
