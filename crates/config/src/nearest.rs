//! The known word nearest to a mistyped one. Not a spelling checker.

/// The candidate within a third of the word's length in edits (at least two for words of four
/// characters and more), if one is; the first of equals.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let length = word.chars().count();
    if length > 64 {
        return None;
    }
    let allowed = match length {
        0..=3 => 1,
        4..=8 => 2,
        _ => length / 3,
    };
    let lower = word.to_lowercase();
    candidates
        .into_iter()
        .filter(|c| c.len() <= 128)
        .map(|c| (strsim::osa_distance(&lower, &c.to_lowercase()), c))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c)
}

/// ``; did you mean `x`?`` or nothing, to end a message with.
pub(crate) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> String {
    nearest(word, candidates).map_or_else(String::new, |c| format!("; did you mean `{c}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_near_and_only_the_near() {
        let keys = ["prompt", "prompt_file", "priority", "dir"];
        assert_eq!(nearest("promt", keys), Some("prompt"));
        assert_eq!(nearest("Prompt", keys), Some("prompt"));
        assert_eq!(nearest("promptfile", keys), Some("prompt_file"));
        assert_eq!(nearest("dri", keys), Some("dir"));
        assert_eq!(nearest("banana", keys), None);
        assert_eq!(nearest("", keys), None);
    }
}
