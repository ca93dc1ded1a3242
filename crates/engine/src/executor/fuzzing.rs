//! Fuzz targets of this crate's private parsers: any bytes, and what must hold of each. Built only with
//! the feature `fuzzing`; driven by `longhaul-fuzz`.

use super::judge::rule;
use super::reviewer::of_text;

/// A judge's answer and a reviewer's file (I13): PASS only if the whole text is one object that says so
/// in the schema's own field.
pub fn verdict(data: &[u8]) {
    let judged = rule(data);
    if judged.pass {
        let whole: serde_json::Value = serde_json::from_slice(data).expect("a PASS is JSON");
        assert_eq!(whole["file"]["verdict"], "pass");
    }
    let text = String::from_utf8_lossy(data);
    let reviewed = of_text(&text);
    if reviewed.pass {
        let whole: serde_json::Value = serde_json::from_str(&text).expect("a PASS is JSON");
        assert_eq!(whole["verdict"], "pass");
    }
    for words in [&judged.reason, &reviewed.reason] {
        assert!(words.chars().count() <= 1100, "bounded");
        assert_eq!(longhaul_agents::clean_text(words), **words, "T31");
    }
}
