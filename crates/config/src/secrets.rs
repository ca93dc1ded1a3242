//! Texts that look like credentials: refused as literals (T26) and masked in excerpts (I12).
//! A guess from the outside; it proves nothing about a text it lets pass.

/// Prefixes that issuers put in front of their credentials, with the least length of the whole.
const PREFIXES: [(&str, usize, &str); 21] = [
    ("sk-ant-", 16, "an Anthropic key"),
    ("sk-proj-", 16, "an OpenAI key"),
    ("sk-or-", 16, "an OpenRouter key"),
    ("sk_live_", 16, "a Stripe key"),
    ("rk_live_", 16, "a Stripe key"),
    ("sk-", 24, "an API key"),
    ("ghp_", 20, "a GitHub token"),
    ("gho_", 20, "a GitHub token"),
    ("ghs_", 20, "a GitHub token"),
    ("ghu_", 20, "a GitHub token"),
    ("github_pat_", 20, "a GitHub token"),
    ("glpat-", 20, "a GitLab token"),
    ("AKIA", 20, "an AWS key"),
    ("ASIA", 20, "an AWS key"),
    ("AIza", 35, "a Google key"),
    ("xoxb-", 16, "a Slack token"),
    ("xoxp-", 16, "a Slack token"),
    ("xapp-", 16, "a Slack token"),
    ("npm_", 36, "an npm token"),
    ("hf_", 30, "a Hugging Face token"),
    ("eyJhbGciOi", 40, "a JSON web token"),
];

/// Parts of a variable's name that say its value is secret.
const NAME_PARTS: [&str; 7] = [
    "KEY",
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "CREDENTIAL",
];

/// What a variable's value looks like, if it looks like a credential: by its own shape, or, for a
/// name with `KEY`, `TOKEN`, `SECRET`, `PASSWORD` and the like, by being one long run of
/// characters that mixes letters and digits.
#[must_use]
pub fn looks_like_secret(name: &str, value: &str) -> Option<&'static str> {
    if let Some(what) = words(value).find_map(|(_, word)| known_shape(word)) {
        return Some(what);
    }
    if value.contains("-----BEGIN ") && value.contains("PRIVATE KEY") {
        return Some("a private key");
    }
    let upper = name.to_ascii_uppercase();
    let secret_name = NAME_PARTS.iter().any(|part| upper.contains(part));
    (secret_name && is_random_run(value)).then_some("a credential, by its name")
}

/// The text with everything in it that has the known shape of a credential replaced by as many
/// `*` as it had characters.
#[must_use]
pub fn mask(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for (start, word) in words(text) {
        let Some(inner) = known_start(word) else {
            continue;
        };
        out.push_str(&text[copied..start + inner]);
        out.extend(word[inner..].chars().map(|_| '*'));
        copied = start + word.len();
    }
    out.push_str(&text[copied..]);
    out
}

/// Runs of the characters that credentials are made of, with where they start.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let part =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '+' | '=');
    text.split(move |c| !part(c))
        .map(|word| (word.as_ptr() as usize - text.as_ptr() as usize, word))
}

fn known_shape(word: &str) -> Option<&'static str> {
    PREFIXES
        .iter()
        .find(|(prefix, least, _)| starts(word, prefix, *least).is_some())
        .map(|(_, _, what)| *what)
}

fn known_start(word: &str) -> Option<usize> {
    PREFIXES
        .iter()
        .filter_map(|(prefix, least, _)| starts(word, prefix, *least))
        .min()
}

/// Where in `word` a credential of this prefix starts: at its beginning or after `=` or `/`.
fn starts(word: &str, prefix: &str, least: usize) -> Option<usize> {
    word.match_indices(prefix)
        .find(|(at, _)| {
            let before = word[..*at].chars().next_back();
            before.is_none_or(|c| matches!(c, '=' | '/' | '.')) && word.len() - at >= least
        })
        .map(|(at, _)| at)
}

fn is_random_run(value: &str) -> bool {
    let run = value
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '+' | '/' | '=' | '.' | ':'));
    let path = value.starts_with('/') || value.starts_with("./") || value.contains("://");
    let letters = value.chars().any(|c| c.is_ascii_alphabetic());
    let digits = value.chars().filter(char::is_ascii_digit).count();
    run && !path && letters && digits >= 2 && value.len() >= 20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t26_knows_credentials_by_shape_and_by_name() {
        for (name, value) in [
            ("X", "sk-ant-api03-abcdefghij"),
            ("X", "ghp_0123456789abcdefghij0123456789abcdef"),
            ("X", "AKIAIOSFODNN7EXAMPLE"),
            ("X", "Bearer sk-ant-api03-abcdefghij"),
            ("X", "https://x/?key=sk-ant-api03-abcdefghij"),
            ("MY_TOKEN", "dGhpcyBpcyBhIHNlY3JldCB2YWx1ZTEy"),
            ("db_password", "a8f5f167f44f4964e6c998dee827110c"),
            ("X", "-----BEGIN RSA PRIVATE KEY-----\nabc"),
        ] {
            assert!(looks_like_secret(name, value).is_some(), "{name}={value}");
        }
    }

    #[test]
    fn t26_lets_ordinary_values_pass() {
        for (name, value) in [
            ("RUST_LOG", "info"),
            ("KEY_FILE", "/etc/ssl/private/server-2026-key.pem"),
            ("API_TOKEN_URL", "https://auth.example.org/oauth2/token/v1"),
            ("TOKEN_LIMIT", "200000"),
            ("MONKEY", "banana"),
            ("GIT_SHA", "a8f5f167f44f4964e6c998dee827110c"),
            ("ASIA_REGION", "ASIA"),
            ("X", "task-sk-something"),
        ] {
            assert_eq!(looks_like_secret(name, value), None, "{name}={value}");
        }
    }

    #[test]
    fn i12_masks_only_the_credential_and_keeps_the_width() {
        assert_eq!(
            mask("A = \"sk-ant-api03-abc.def\" # ok é"),
            "A = \"********************\" # ok é"
        );
        assert_eq!(mask("x=y"), "x=y");
        assert_eq!(
            mask("TOKEN=ghp_0123456789abcdefghij"),
            "TOKEN=************************"
        );
        assert_eq!(mask(""), "");
    }
}
