//! The shim's socket, its records, and what the kernel tells of processes.

use longhaul_hosts::{Bundle, BundleState, JobIdentity, JobSpec, ProcessIdentity};

use crate::mutate::Rng;

pub(super) const SHIM_WORDS: &[&str] = &[
    "{\"op\":\"hello\",\"version\":1}\n",
    "{\"op\":\"input\",\"hex\":\"00ff\"}\n",
    "{\"event\":\"grew\",\"out\":1,\"err\":2}\n",
    "\"op\":",
    "\n",
];
pub(super) const SHIM_LINES: &[&str] = &[
    "{\"op\":\"hello\",\"version\":1}\n{\"op\":\"watch\"}\n{\"op\":\"stop\",\"grace_ms\":5000}\n",
    "{\"op\":\"input\",\"hex\":\"68690a\"}\n{\"op\":\"close_stdin\"}\n{\"op\":\"resize\",\"rows\":24,\"cols\":80}\n",
    "{\"event\":\"hello\",\"version\":1,\"key\":\"k\"}\n{\"event\":\"ok\"}\n{\"event\":\"refused\",\"reason\":\"busy\"}\n{\"event\":\"grew\",\"out\":7,\"err\":0}\n{\"event\":\"exited\"}\n{\"event\":\"later\"}\n",
];
pub(super) const PROC: &[&str] = &[
    "42 (a) R 1 (b) S 7 42 42 0 -1 4194304 1 2 3 4 10 20 30 40 20 0 1 0 987654 1 2\n",
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n\u{0}1:cpu:/\n0::/user.slice/s.scope\n",
];
pub(super) const RECORD_WORDS: &[&str] = &[
    "\"key\":\"other\"",
    "\"pid\":1",
    "\"pid\":0",
    "\"pid\":4294967295",
    "\"version\":99",
    "\"cgroup\":\"/\"",
    "\u{0}",
    "\"cut\":18446744073709551615",
    "\"lost\":18446744073709551615",
    "\"kind\":\"exited\",\"code\":0",
];

/// The key of the bundle that a target looks at.
const KEY: &str = "0190-1";

/// Words on a shim's socket.
pub(super) fn shim_words(data: &[u8]) {
    longhaul_hosts::fuzzing::shim_words(data, 1 + Rng::of(data).below(100));
}

/// A bundle's records, separated by a zero byte: identity and exit.
pub(super) fn bundles() -> Vec<Vec<u8>> {
    let me = ProcessIdentity::current().expect("this process");
    let identity = |key: &str, child: &ProcessIdentity| {
        let identity = JobIdentity {
            version: 1,
            key: key.to_owned(),
            child: child.clone(),
            shim: me.clone(),
            cgroup: Some("/sys/fs/cgroup/longhaul-0190-1".into()),
            confinement: None,
            started_ms: 1,
        };
        serde_json::to_vec(&identity).expect("plain data")
    };
    let exit = |key: &str| {
        format!(
            "{{\"version\":1,\"key\":\"{key}\",\"outcome\":{{\"kind\":\"exited\",\"code\":0}},\"stop_requested\":false,\"started_ms\":1,\"ended_ms\":2,\"duration_ms\":1,\"usage\":{{\"user_ms\":1,\"system_ms\":1,\"max_rss_kib\":1}},\"out\":{{\"bytes\":1,\"cut\":0,\"lost\":0}},\"err\":{{\"bytes\":0,\"cut\":0,\"lost\":0}},\"leftovers_stopped\":0}}"
        )
        .into_bytes()
    };
    let both = |identity: Vec<u8>, exit: Vec<u8>| [identity, vec![0], exit].concat();
    vec![
        both(identity(KEY, &me), exit(KEY)),
        both(identity(KEY, &me), b"{".to_vec()),
        both(identity("other", &me), exit("other")),
        identity("other", &me),
        both(Vec::new(), exit(KEY)),
    ]
}

/// Whatever its records say, a bundle is about its own job alone, and looking at it ends nobody.
pub(super) fn bundle(data: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut parts = data.splitn(2, |b| *b == 0);
    let (identity, exit) = (parts.next().unwrap_or_default(), parts.next());
    let dir = folder.path().join(KEY);
    std::fs::create_dir(&dir).expect("a bundle");
    std::fs::write(dir.join("lock"), b"").expect("a lock");
    std::fs::write(dir.join("identity.json"), identity).expect("an identity");
    if let Some(exit) = exit {
        std::fs::write(dir.join("exit.json"), exit).expect("a record");
    }
    match Bundle::new(folder.path(), KEY)
        .expect("a key")
        .survey()
        .expect("a readable bundle")
    {
        BundleState::Exited(record) => {
            assert_eq!(record.key, KEY, "a record of another job");
            let _known: (bool, bool) = (record.output_incomplete(), record.is_zero());
            let _spent = record.usage.cpu();
        }
        BundleState::Lost(lost) => {
            let identity = lost.identity.as_ref();
            assert!(
                identity.is_none_or(|i| i.key == KEY),
                "an identity of another job"
            );
            let _tree = lost.tree();
        }
        BundleState::OtherBoot(identity) => assert_eq!(identity.key, KEY),
        state @ (BundleState::Absent
        | BundleState::NotStarted
        | BundleState::Starting
        | BundleState::Live(_)) => {
            panic!("a bundle with a free lock and an identity is {state:?}");
        }
    }
    if let Ok(spec) = serde_json::from_slice::<JobSpec>(data)
        && spec.validate().is_ok()
    {
        let written = serde_json::to_vec(&spec).expect("plain data");
        assert!(serde_json::from_slice::<JobSpec>(&written).is_ok_and(|again| again == spec));
    }
}
