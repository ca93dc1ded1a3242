//! Known secrets, masked wherever text is shown (I12): the values of variables whose names say that
//! they hold one.

use crate::env::Env;

/// Words in a variable's name that make its value a secret.
const WORDS: [&str; 6] = ["KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL"];
/// A shorter value would mask ordinary words.
const LEAST_CHARS: usize = 8;

/// A function that replaces every known secret in a text.
pub(crate) fn of(env: &Env) -> impl Fn(&str) -> String + Send + Sync + 'static {
    let mut secrets: Vec<(String, String)> = env
        .all()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, value)| holds_secret(name) && value.chars().count() >= LEAST_CHARS)
        .collect();
    // The longest first, so that a secret inside another does not leave the rest of it.
    secrets.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
    move |text| {
        let mut text = text.to_owned();
        for (name, value) in &secrets {
            if text.contains(value.as_str()) {
                text = text.replace(value.as_str(), &format!("[{name}]"));
            }
        }
        text
    }
}

fn holds_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    name.split('_')
        .any(|part| WORDS.iter().any(|w| part == *w || part == format!("{w}S")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i12_values_of_secret_variables_are_masked() {
        let env = Env::fake(&[
            ("ANTHROPIC_API_KEY", "sk-ant-abcdefgh"),
            ("MY_TOKEN", "sk-ant-abcdefgh-longer"),
            ("KEYBOARD", "german-layout"),
            ("PASSWORD", "short"),
        ]);
        let mask = of(&env);
        assert_eq!(mask("a sk-ant-abcdefgh b"), "a [ANTHROPIC_API_KEY] b");
        assert_eq!(mask("sk-ant-abcdefgh-longer"), "[MY_TOKEN]");
        assert_eq!(mask("german-layout short"), "german-layout short");
    }
}
