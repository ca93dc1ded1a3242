//! Snapshots of what the outside relies on: the schemas and the table of exit codes.

use longhaul_api::{ErrorClass, ExitCode, schema};

/// A changed snapshot is a changed promise: only additions are allowed within one API version.
#[test]
fn schemas_are_held_still() {
    for (name, schema) in schema::all() {
        let text = serde_json::to_string_pretty(&schema).unwrap();
        insta::assert_snapshot!(format!("schema_{name}"), text);
    }
}

#[test]
fn t28_the_document_of_exit_codes_is_the_table() {
    insta::assert_snapshot!("exit_codes", ExitCode::markdown());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/exit-codes.md");
    if std::env::var_os("LONGHAUL_BLESS").is_some() {
        std::fs::write(path, ExitCode::markdown()).unwrap();
    }
    let document = std::fs::read_to_string(path).expect("docs/exit-codes.md exists");
    assert_eq!(
        document,
        ExitCode::markdown(),
        "run this test with LONGHAUL_BLESS=1"
    );
}

#[test]
fn exit_codes_are_distinct_and_every_class_has_one() {
    let mut codes: Vec<u8> = ExitCode::ALL.iter().map(|c| c.code()).collect();
    codes.dedup();
    assert_eq!(codes.len(), ExitCode::ALL.len());
    assert!(codes.is_sorted());
    assert_eq!(ErrorClass::Unavailable.exit_code().code(), 5);
    assert_eq!(ErrorClass::Invalid.exit_code().code(), 2);
}
