//! `longhaul gateway`: other programs of the user's, from a fresh home with a single key and no daemon (A8).

use std::process::Command;
use std::time::Duration;

use longhaul_testkit::provider::{MockProvider, Step};
use longhaul_testkit::world::{Ran, World};

const LIMIT: Duration = Duration::from_secs(60);

fn fresh() -> (World, MockProvider) {
    let mut world = World::new(env!("CARGO_BIN_EXE_longhaul")).unwrap();
    let provider = MockProvider::start().unwrap();
    world.set_env("ANTHROPIC_API_KEY", "sk-ant-very-secret");
    world.set_env("ANTHROPIC_BASE_URL", provider.url("k1"));
    (world, provider)
}

pub(crate) fn gateway(world: &World, args: &[&str]) -> Ran {
    let all = ["gateway"].iter().chain(args);
    let command: Command = world.longhaul_in(&world.home(), all);
    let ran = world.run_within(LIMIT, command);
    let told = format!("{}{}", ran.stdout, ran.stderr);
    assert!(!told.contains("very-secret"), "{told}");
    ran
}

/// The variables as a shell takes them.
pub(crate) fn variables(world: &World, printed: &str) -> (String, String) {
    let mut shell = world.command("/bin/sh");
    shell.args([
        "-c",
        &format!("{printed}\nprintf '%s %s' \"$ANTHROPIC_BASE_URL\" \"$ANTHROPIC_API_KEY\""),
    ]);
    let ran = world.run_within(LIMIT, shell).expect_code(0);
    let (url, token) = ran.stdout.split_once(' ').unwrap();
    (url.to_owned(), token.to_owned())
}

/// Asks as a program with a library of the provider's would.
pub(crate) fn ask(url: &str, token: &str) -> (u16, String) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(LIMIT))
        .build()
        .into();
    let body = r#"{"model":"claude-sonnet-4-5","max_tokens":50,"tools":[{"name":"Bash","input_schema":{}}],"messages":[{"role":"user","content":"hi"}]}"#;
    let mut answer = agent
        .post(format!("{url}/v1/messages"))
        .header("x-api-key", token)
        .header("content-type", "application/json")
        .send(body)
        .unwrap();
    (
        answer.status().as_u16(),
        answer.body_mut().read_to_string().unwrap(),
    )
}

#[test]
fn a8_any_program_uses_the_accounts_through_the_gateway_until_its_token_is_revoked() {
    let (mut world, provider) = fresh();
    provider.script("k1", [Step::text("hello"), Step::text("again")]);
    let printed = gateway(&world, &["env", "editor"]).expect_code(0).stdout;
    let (url, token) = variables(&world, &printed);
    assert!(ask(&url, &token).1.contains("hello"));
    // The same again, after the gateway was ended too.
    gateway(&world, &["stop"]).expect_code(0);
    world.expect_quiet(Duration::from_secs(15));
    assert_eq!(
        gateway(&world, &["env", "editor"]).expect_code(0).stdout,
        printed
    );
    assert!(ask(&url, &token).1.contains("again"));
    assert_eq!(gateway(&world, &["url"]).expect_code(0).stdout.trim(), url);
    let ran = gateway(&world, &["status"]).expect_code(0);
    let status = &ran.stdout;
    assert!(
        status.contains("program-editor-anthropic") && status.contains("serving"),
        "{status}"
    );
    // A11: what costs are reckoned by has a date, and it is shown.
    let dated = format!("prices of {}", longhaul_gateway::price::table_date());
    assert!(ran.stderr.contains(&dated), "{ran:?}");
    let data = gateway(&world, &["status", "--json"]).expect_code(0).json();
    assert_eq!(data["data"]["gateway"]["accounts"][0]["answered"], 1);
    // No token is in a file.
    let found = Command::new("grep")
        .args(["-rl", &token])
        .arg(world.state())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    // A shell that was sent there is no account of its own, and goes on with what the gateway has.
    world.set_env("ANTHROPIC_API_KEY", &token);
    world.set_env("ANTHROPIC_BASE_URL", &url);
    assert_eq!(
        gateway(&world, &["env", "editor"]).expect_code(0).stdout,
        printed
    );
    assert!(
        gateway(&world, &["status"])
            .expect_code(0)
            .stdout
            .contains("serving")
    );
    gateway(&world, &["revoke", "editor"]).expect_code(0);
    world.expect_quiet(Duration::from_secs(15));
    // With a key again: other tokens, and the old one stays worthless.
    world.set_env("ANTHROPIC_API_KEY", "sk-ant-very-secret");
    world.set_env("ANTHROPIC_BASE_URL", provider.url("k1"));
    let (url, fresh) = variables(
        &world,
        &gateway(&world, &["env", "editor"]).expect_code(0).stdout,
    );
    assert_ne!(fresh, token);
    assert_eq!(ask(&url, &token).0, 401);
    gateway(&world, &["revoke", "editor"]).expect_code(0);
    world.expect_quiet(Duration::from_secs(15));
}

#[test]
fn a8_wrong_inputs_of_the_gateway_verbs_say_what_to_do() {
    let (world, _provider) = fresh();
    for (args, code, words) in [
        (&["env", "a b"][..], 2, "letters, digits"),
        (&["revoke", "nobody"], 6, "no program is called"),
        (&["stop"], 0, "does not run"),
        (&["status"], 0, "does not run"),
    ] {
        let ran = gateway(&world, args).expect_code(code);
        assert!(
            format!("{}{}", ran.stdout, ran.stderr).contains(words),
            "{args:?} {ran:?}"
        );
    }
    let bare = World::new(env!("CARGO_BIN_EXE_longhaul")).unwrap();
    let command = bare.longhaul_in(&bare.home(), ["gateway", "env"]);
    let ran = bare.run_within(LIMIT, command).expect_code(1);
    assert!(
        ran.stderr.contains("no account") && ran.stderr.contains("ANTHROPIC_API_KEY"),
        "{ran:?}"
    );
    bare.expect_quiet(Duration::from_secs(5));
}
