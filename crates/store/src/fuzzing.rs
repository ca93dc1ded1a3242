//! Fuzz targets of this crate's private parsers: any bytes, and what must hold of each. Built only with
//! the feature `fuzzing`; driven by `longhaul-fuzz`.

use crate::resolve::Needle;

/// What a person types for a task: the ids it may stand for begin, or end, with just that.
pub fn needle(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let needle = Needle::parse(&text);
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let digits = digits.to_ascii_lowercase();
    if let Some((low, high)) = needle.range {
        assert!(low <= high);
        for end in [low, high] {
            assert!(end.simple().to_string().starts_with(&digits), "{text:?}");
        }
    }
    if let Some(tail) = needle.tail {
        let shown: String = tail.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(shown, text.to_ascii_lowercase());
    }
}
