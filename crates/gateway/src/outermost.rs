//! The values of a few names in the outermost object of a JSON text, without taking the rest apart: a conversation is
//! long, and almost all of it is text that the gateway has no business with.

use memchr::memchr2;

/// Where the value of each name stands in the text; of a name that comes twice, the last one. `None` if the text is no
/// object, or breaks off. What is inside of other values is not checked: that is the provider's to do.
#[must_use]
pub fn outermost<'t, const N: usize>(
    text: &'t [u8],
    names: [&str; N],
) -> Option<[Option<&'t [u8]>; N]> {
    let mut found = [None; N];
    let mut at = skip_space(text, 0);
    if text.get(at) != Some(&b'{') {
        return None;
    }
    at = skip_space(text, at + 1);
    if text.get(at) == Some(&b'}') {
        return rest_is_space(text, at + 1).then_some(found);
    }
    loop {
        let end = string_end(text, at)?;
        let name = text.get(at..end)?;
        at = skip_space(text, end);
        if text.get(at) != Some(&b':') {
            return None;
        }
        let begin = skip_space(text, at + 1);
        at = value_end(text, begin)?;
        if let Some(n) = place(name, &names)
            && let Some(slot) = found.get_mut(n)
        {
            *slot = Some(text.get(begin..at)?);
        }
        at = skip_space(text, at);
        match text.get(at) {
            Some(b',') => at = skip_space(text, at + 1),
            Some(b'}') => return rest_is_space(text, at + 1).then_some(found),
            _ => return None,
        }
    }
}

/// Which of the names this is, as it stands in the text.
fn place(name: &[u8], names: &[&str]) -> Option<usize> {
    let bare = name.get(1..name.len() - 1)?;
    if bare.contains(&b'\\') {
        let written: String = serde_json::from_slice(name).ok()?;
        return names.iter().position(|n| **n == written);
    }
    names.iter().position(|n| n.as_bytes() == bare)
}

fn skip_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

fn rest_is_space(text: &[u8], at: usize) -> bool {
    skip_space(text, at) == text.len()
}

/// The end of the string that begins here.
fn string_end(text: &[u8], at: usize) -> Option<usize> {
    if text.get(at) != Some(&b'"') {
        return None;
    }
    let mut from = at + 1;
    loop {
        let found = from + memchr2(b'"', b'\\', text.get(from..)?)?;
        if text.get(found) == Some(&b'"') {
            return Some(found + 1);
        }
        from = found + 2;
    }
}

/// The end of the value that begins here.
fn value_end(text: &[u8], begin: usize) -> Option<usize> {
    match text.get(begin)? {
        b'"' => string_end(text, begin),
        b'{' | b'[' => {
            let mut depth = 0_usize;
            let mut at = begin;
            loop {
                match text.get(at)? {
                    b'"' => {
                        at = string_end(text, at)?;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => {
                        depth -= 1;
                        if depth == 0 {
                            return Some(at + 1);
                        }
                    }
                    _ => {}
                }
                at += 1;
            }
        }
        _ => {
            let end = |b: &u8| matches!(b, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
            let length = text.get(begin..)?.iter().position(end)?;
            (length > 0).then_some(begin + length)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    const NAMES: [&str; 2] = ["model", "a\"b"];

    fn found(text: &str) -> Option<[Option<String>; 2]> {
        let found = outermost(text.as_bytes(), NAMES)?;
        Some(found.map(|v| v.map(|v| String::from_utf8_lossy(v).into_owned())))
    }

    #[test]
    fn only_the_outermost_names_count() {
        let at = |text: &str| found(text).map(|[model, _]| model.unwrap_or_default());
        assert_eq!(at(r#"{"model":"x"}"#).as_deref(), Some(r#""x""#));
        assert_eq!(
            at(r#" { "a" : [{"model":"n"}] , "model" : 1 } "#).as_deref(),
            Some("1")
        );
        assert_eq!(
            at(r#"{"t":"\",\"model\":\"n\"","model":null}"#).as_deref(),
            Some("null")
        );
        assert_eq!(at(r#"{"model":1,"\u006dodel":2}"#).as_deref(), Some("2"));
        assert_eq!(at(r#"{"m":{"model":1}}"#).as_deref(), Some(""));
        assert_eq!(at("{}").as_deref(), Some(""));
        for broken in [
            "",
            "[]",
            "{",
            "{\"model\"",
            "{\"model\":",
            "{\"model\":1",
            "{\"model\":\"x}",
            "{\"model\":}",
            "{}x",
            "{\"model\":1}}",
            "{\"m\":[}",
            "{\"m\":\"\\",
            "\"model\"",
            "{,}",
            "{\"a\":1,}",
        ] {
            assert_eq!(found(broken), None, "{broken}");
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[\\PC\"\\\\{}\\[\\],:]{0,12}".prop_map(Value::from),
        ];
        let name = prop_oneof![
            Just("model".to_owned()),
            Just("a\"b".to_owned()),
            "[\\PC\"\\\\]{0,4}"
        ];
        leaf.prop_recursive(4, 32, 5, move |inner| {
            let pairs = proptest::collection::vec((name.clone(), inner.clone()), 0..5);
            prop_oneof![
                proptest::collection::vec(inner, 0..5).prop_map(Value::from),
                pairs.prop_map(|pairs| Value::Object(pairs.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_a_whole_parser_finds(value in value(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let text = text.unwrap();
            let found = outermost(text.as_bytes(), NAMES);
            match &value {
                Value::Object(map) => {
                    let found = found.unwrap();
                    for (name, at) in NAMES.iter().zip(found) {
                        let parsed = at.map(|at| serde_json::from_slice::<Value>(at).unwrap());
                        prop_assert_eq!(parsed.as_ref(), map.get(*name));
                    }
                }
                _ => prop_assert_eq!(found, None),
            }
        }

        #[test]
        fn no_text_breaks_it(text in proptest::collection::vec(prop_oneof![
            Just(b'"'), Just(b'\\'), Just(b'{'), Just(b'}'), Just(b'['), Just(b']'), Just(b':'), Just(b','), any::<u8>(),
        ], 0..40)) {
            let found = outermost(&text, NAMES);
            if let Ok(Value::Object(map)) = serde_json::from_slice::<Value>(&text) {
                let [model, _] = found.unwrap();
                let parsed = model.map(|at| serde_json::from_slice::<Value>(at).unwrap());
                prop_assert_eq!(parsed.as_ref(), map.get("model"));
            }
        }
    }
}
