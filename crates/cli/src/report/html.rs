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
