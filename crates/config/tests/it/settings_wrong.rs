//! Wrong settings and what is said about them.

use std::collections::BTreeMap;

use camino::Utf8Path;
use longhaul_config::settings::{FileLayer, FlagSetting, Layer, Layers, resolve};
use proptest::prelude::*;

fn said(text: &str, env: &[(&str, &str)], flags: &[FlagSetting<'_>]) -> String {
    let file = FileLayer {
        layer: Layer::User,
        path: Utf8Path::new("config.toml"),
        bytes: text.as_bytes(),
    };
    let env: BTreeMap<String, String> = env
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    let layers = Layers {
        files: &[file],
        repo_trusted: true,
        env: &env,
        flags,
        built_in_harnesses: &["claude", "codex"],
    };
    resolve(&layers)
        .expect_err("the text is wrong")
        .render(false)
}

macro_rules! wrong {
    ($($name:ident: $text:expr;)+) => {
        $(#[test]
        fn $name() {
            insta::assert_snapshot!(said($text, &[], &[]));
        })+
    };
}

wrong! {
    unknown_keys: "concurency = 4\n[limits]\npol = \"1s\"\n[harness.claude]\nprogramm = \"x\"\n[judge.a.key]\nenvv = \"X\"\n[profil.x]\n";
    wrong_types_and_ranges: "concurrency = 0\nmin_free = 2\nmin_free_memory = \"2G\"\nsnapshot_retention = 14\nsign = \"yes\"\ncommit = \"user\"\nbranch_prefix = \"a..b\"\nlimits = 3\non_needs_human = \"\"\nconcurrency_per_harness = { claude = -1 }\n";
    bad_names: "[harness.\"a.b\"]\nprogram = \"x\"\n[profile.\"\"]\nmodel = \"x\"\n";
    s12_profile_cycle: "[profile.a]\ninherits = \"b\"\n[profile.b]\ninherits = \"c\"\n[profile.c]\ninherits = \"a\"\n";
    profile_of_no_one: "[profile.base]\nmodel = \"x\"\n[profile.a]\ninherits = \"bsae\"\n";
    judges: "default_judge = \"lokal\"\n[judge.local]\nkind = \"openai\"\nurl = \"ftp://x\"\nmodel = \"m\"\n[judge.other]\nurl = \"https://user:hunter2@x/\"\n[judge.two]\nkind = \"anthropic\"\nmodel = \"m\"\nkey = { env = \"A\", file = \"/b\" }\n";
    a18_account_homes: "[account.a]\nhome = \"work\"\n[account.b]\nhome = \"/b\"\nharness = \"claude\"\nprovider = \"anthropic\"\nkey.env = \"X\"\n[account.c]\nharness = \"codex\"\nprovider = \"openai\"\nkey.env = \"X\"\n[account.d]\nhome = \"/d\"\nharness = \"gemini\"\n[accounts]\nshared_dir = \"shared\"\nshared.claude = [\"projects\", \"../x\", \".credentials.json\"]\n";
    a11_prices: "[price.one]\ninput = -1\n[price.two]\nmodel = \"m\"\ninput = 1\noutput = inf\n[price.three]\nmodel = \"n\"\ninput = 1\noutput = 2\n[price.four]\nmodel = \"n\"\ninput = 1\noutput = 2\ncash_read = 1\n";
    a11_two_prices: "[price.three]\nmodel = \"n\"\ninput = 1\noutput = 2\n[price.four]\nmodel = \"n\"\ninput = 1\noutput = 2\n";
    custom_harnesses: "[harness.aider]\nargs = [\"x\"]\n[harness.cluade]\nargs = []\n[harness.auto]\nprogram = \"x\"\n[harness.mine]\nprogram = \"x\"\nmodel_flag = \"model\"\n";
    t26_secret_in_harness_env: "[harness.claude.env]\nANTHROPIC_API_KEY = \"sk-ant-api03-verysecret123\"\n";
    backoff_upside_down: "[retry]\nbackoff_min = \"1h\"\n";
    settings_syntax: "concurrency =\n[limits\n";
}

#[test]
fn variables_and_flags() {
    let env = [
        ("LONGHAUL_CONCURRENCY", "many"),
        ("LONGHAUL_SIGN", "maybe"),
        ("LONGHAUL_LIMITS_THROTTLE_PAUSE", "5"),
    ];
    let flags = [
        FlagSetting {
            flag: "--set",
            key: "concurency",
            value: "1",
        },
        FlagSetting {
            flag: "--set",
            key: "harness.claude.max_budget_usd_flag",
            value: "x",
        },
    ];
    insta::assert_snapshot!(said("", &env, &flags));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in "([a-z_.\\[\\]\"={} 0-9\n]{0,200})") {
        for bytes in [bytes.as_slice(), text.as_bytes()] {
            let file = FileLayer { layer: Layer::Repo, path: Utf8Path::new("c"), bytes };
            let layers = Layers { files: &[file], repo_trusted: false, env: &BTreeMap::new(), flags: &[], built_in_harnesses: &[] };
            if let Err(found) = resolve(&layers) {
                prop_assert!(found.has_errors());
            }
        }
    }
}
