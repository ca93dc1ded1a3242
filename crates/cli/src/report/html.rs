//! The report as one HTML file that loads nothing and runs nothing: its style is named by its hash in
//! the policy, and everything else is refused (T31).

use base64::Engine as _;
use minijinja::{Environment, context};
use sha2::{Digest as _, Sha256};

use super::model::Page;
use crate::failure::Failure;

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");

/// The page.
///
/// # Errors
/// None that a user could cause: a fault of the template.
pub(crate) fn render(page: &Page) -> Result<String, Failure> {
    let fault = |e: minijinja::Error| Failure::new("cannot make the page").because(e);
    let mut env = Environment::new();
    // The name's ending turns the escaping of every value on.
    env.add_template("page.html", TEMPLATE).map_err(fault)?;
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(STYLE));
    env.get_template("page.html")
        .and_then(|t| {
            t.render(context! {
                page => minijinja::Value::from(minijinja::value::Serde(page)),
                style => minijinja::Value::from_safe_string(STYLE.to_owned()),
                policy => format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'"),
            })
        })
        .map_err(fault)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn t31_the_page_is_one_file_that_runs_nothing_and_escapes_everything() {
        let page = render(&Page::new(&sample::view(), &sample::details())).unwrap();
        assert!(page.contains("default-src &#x27;none&#x27;; style-src &#x27;sha256-"));
        assert!(!page.contains("<script"), "markup of a task came through");
        assert!(!page.contains("<b>x</b>"));
        assert!(!page.contains('\u{1b}'));
        for outside in [
            "src=", "href=", "url(", "@import", "http:", "https:", "style=\"",
        ] {
            assert!(
                !page.contains(outside),
                "the page refers to something: {outside}"
            );
        }
        insta::with_settings!({filters => vec![
            (r"(?s)<style>.*</style>", "<style>…</style>"),
            (r"sha256-.*?=", "sha256-…"),
        ]}, {
            insta::assert_snapshot!(page);
        });
    }
}
