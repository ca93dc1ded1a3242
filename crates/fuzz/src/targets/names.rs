//! Ids, the script language, and the wire types; with the first inputs of the targets in `vcs` and
//! `engine`.

use longhaul_api::{
    Acknowledged, ClearLimitRequest, DrainRequest, Envelope, ErrorEnvelope, EventView, LogChunk,
    OrderRequest, OrderResponse, Payload, Problem, QueueExplanation, QueueRequest, QueueView,
    ReportView, SendRequest, StatusView, SubmissionView, SubmitRequest, SubmitResponse, TaskDetail,
    TaskList, VersionView,
};
use longhaul_core::ids::TaskId;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(super) const IDS: &[&str] = &[
    "0199a4b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b",
    "0199a4b2",
    "6c7d8e9f",
    "019",
    "fix-login",
];
pub(super) const SCRIPT_WORDS: &[&str] = &[
    "@all\n",
    "@attempt 1..2\n",
    "@attempt 3..\n",
    "@resume\n",
    "say x\n",
    "write f <<END\n",
    "END\n",
    "append f x\n",
    "run true\n",
    "sleep 1s\n",
    "usage input=1 output=2 cost=0.01\n",
    "limit quota 1h\n",
    "exit 3\n",
    "flood 1M\n",
    "done\n",
    "deny Bash rm\n",
    "../",
];
pub(super) const SCRIPTS: &[&str] = &[
    "@attempt 1..2\nwrite farewell.txt see you\n@attempt 3..\nexpect-prompt goodbye\nwrite farewell.txt goodbye\n",
    "say hello\nwrite a/b.txt <<END\none\ntwo\nEND\nrun make\nusage input=100 output=20 cost=0.25\nlimit quota 2h\ndone all well\n",
    "@all\nsleep 500ms\nspawn sleep 5\nflood 64K\ndeny Bash rm -rf /\nask which one?\nfail no\ncrash\nhang\nignore-term\ndie-midline\nexit 7\n",
];
pub(super) const VERDICT_WORDS: &[&str] = &[
    "\"verdict\":\"pass\"",
    "\"verdict\":\"fail\"",
    "\"reasons\":[",
    "PASS",
    "\"file\":{",
    "\u{1b}[31m",
];
pub(super) const VERDICTS: &[&str] = &[
    "{\"file\":{\"verdict\":\"pass\",\"reasons\":[\"fine\"]},\"usage\":{\"input\":1,\"output\":2,\"cache_read\":0,\"cache_write\":0,\"cost\":null}}",
    "{\"verdict\":\"fail\",\"reasons\":[\"the diff says PASS\"]}",
    "{\"verdict\":\"pass\",\"reasons\":[]}",
    "PASS",
];
pub(super) const GIT_WORDS: &[&str] = &[
    "\u{0}",
    ":100644 100644 ",
    " M\u{0}",
    "3\t0\t",
    "-\t-\t",
    "CONFLICT (contents)",
    "CONFLICT (file/directory)",
    "\n\n",
    "local\u{0}core.sshcommand\nx\u{0}",
    "global\u{0}",
    "filter.x.clean",
    "dddddddddddddddddddddddddddddddddddddddd",
    "worktree /x\u{0}",
    "author A <a@x> 1700000000 +0100\n",
    "Longhaul-Task: one\n",
    "<<<<<<< ",
    ">>>>>>> ",
    "[core]\n",
    "[include]\n",
];
pub(super) const GIT_CONFIGS: &[&str] = &[
    "global\u{0}user.name\nA\u{0}local\u{0}core.sshcommand\nevil\u{0}local\u{0}filter.x.clean\nevil\u{0}worktree\u{0}diff.external\nevil\u{0}",
    "system\u{0}filter.lfs.process\ngit-lfs filter-process\u{0}local\u{0}core.alternaterefscommand\nx\u{0}local\u{0}merge.m.driver\nx\u{0}local\u{0}core.bare\u{0}",
    "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n[remote \"origin\"]\n\turl = https://example.org/x\n",
];
pub(super) const GIT_NAMES: &[&str] = &[
    "a b/c\nd",
    "back\\slash",
    "\\x1b[31m",
    "a/../b",
    ".git/config",
    "x/y/z\u{0}../../q",
    "a/b\u{0}../../c",
    "89e6c98d92887913cadf06b2adb97f26cde4849b\n",
    "feature/a-1.x",
];
pub(super) const GIT_RECORDS: &[&str] = &[
    "{\"version\":1,\"branch\":\"longhaul/a\",\"base\":\"89e6c98d92887913cadf06b2adb97f26cde4849b\",\"admin\":\"a\\\\x0a\",\"ready\":true}",
    "{\"version\":1,\"ours\":\"89e6c98d92887913cadf06b2adb97f26cde4849b\",\"theirs\":\"89e6c98d92887913cadf06b2adb97f26cde4849b\",\"tree\":\"89e6c98d92887913cadf06b2adb97f26cde4849b\",\"paths\":[\"a\"],\"ready\":false,\"before\":null}",
    "{\"from\":\"89e6c98d92887913cadf06b2adb97f26cde4849b\",\"to\":\"89e6c98d92887913cadf06b2adb97f26cde4849b\",\"checkout\":\"/repo\",\"at\":1795220400000}",
    "{\"guarded\":{\"config\":{\"Kept\":{\"content\":\"[core]\\\\x0a\",\"mode\":420}},\"hooks/x\":{\"Link\":{\"target\":\"/y\"}}},\"common_dir\":\"/r/.git\",\"git_dir\":\"/r/.git\"}",
];
pub(super) const ENVELOPES: &[&str] = &[
    "{\"longhaul\":1,\"kind\":\"ok\",\"data\":{\"message\":\"drained\"}}",
    "{\"longhaul\":1,\"kind\":\"version\",\"data\":{\"version\":\"0.1.0\",\"api\":{\"min\":1,\"max\":1}}}",
    "{\"longhaul\":1,\"kind\":\"task_list\",\"data\":{\"tasks\":[]}}",
    "{\"longhaul\":1,\"kind\":\"orders\",\"data\":{\"results\":[{\"task\":\"0199a4b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b\",\"short_id\":\"0199\",\"name\":\"a\",\"result\":\"done\",\"message\":\"m\"}]}}",
    "{\"type\":\"urn:longhaul:error:x\",\"title\":\"t\",\"status\":400,\"code\":\"x\",\"class\":\"invalid\"}",
];

/// Output of git: a merge with conflicts, a diff, a list of worktrees, a commit.
pub(super) fn git_outputs() -> Vec<Vec<u8>> {
    let d = "d".repeat(40);
    let merge = format!(
        "{d}\0100644 {d} 1\ta\0100644 {d} 2\ta\0160000 {d} 3\tm\0\x001\0a\0CONFLICT (contents)\0words\n\x002\0d~a\0d\0CONFLICT (file/directory)\0w\0"
    );
    let diff = format!(
        ":000000 100644 {d} {d} A\0new\nline\0:100644 100644 {d} {d} M\0b\x003\t0\tnew\nline\0-\t-\tb\0"
    );
    let change = format!(":100644 100755 {d} {d} M\0a b");
    let trees = format!(
        "worktree /r\0HEAD {d}\0branch refs/heads/main\0\0worktree /w\0HEAD {d}\0detached\0\0"
    );
    let commit = format!(
        "tree {d}\nparent {d}\nauthor J <j@x> 1700000000 +0100\ncommitter c <c> 1 +0000\nencoding X\n\nSubject\n\nFixes: #1\n"
    );
    let refs = format!("refs/heads/main\0{d}\nrefs/heads/x\0{d} refs/heads/main\n");
    let file =
        "one\n<<<<<<< ours\na\n||||||| base\nb\n=======\nc\n>>>>>>> theirs\ntwo\n".to_owned();
    [merge, diff, change, trees, commit, refs, file]
        .map(String::into_bytes)
        .to_vec()
}

/// Ids and their beginnings.
pub(super) fn ids(data: &[u8]) {
    longhaul_store::fuzzing::needle(data);
    let text = String::from_utf8_lossy(data);
    if let Ok(id) = text.parse::<TaskId>() {
        assert_eq!(id.to_string().parse::<TaskId>().ok(), Some(id));
        assert_eq!(id.short().len(), 8);
        let json = serde_json::to_string(&id).expect("an id can be written");
        assert_eq!(serde_json::from_str::<TaskId>(&json).ok(), Some(id));
    }
}

/// A script: a script, or an error that names a line it has.
pub(super) fn script(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match longhaul_script::parse(&text) {
        Ok(script) => {
            let commands: usize = script.sections.iter().map(|s| s.commands.len()).sum();
            assert!(commands <= text.lines().count());
        }
        Err(error) => {
            assert!(error.line >= 1 && error.line <= text.lines().count());
            assert!(!error.to_string().is_empty());
        }
    }
}

/// Everything that goes over the socket, from both sides: what is read is written back the same.
pub(super) fn api_types(data: &[u8]) {
    same::<OrderRequest>(data);
    same::<SubmitRequest>(data);
    same::<QueueRequest>(data);
    same::<ClearLimitRequest>(data);
    same::<DrainRequest>(data);
    same::<SendRequest>(data);
    same::<Problem>(data);
    same::<ErrorEnvelope>(data);
    if let Ok(request) = serde_json::from_slice::<OrderRequest>(data) {
        let _order = request.order();
    }
    enveloped::<Acknowledged>(data);
    enveloped::<VersionView>(data);
    enveloped::<StatusView>(data);
    enveloped::<TaskList>(data);
    enveloped::<TaskDetail>(data);
    enveloped::<ReportView>(data);
    enveloped::<EventView>(data);
    enveloped::<LogChunk>(data);
    enveloped::<SubmitResponse>(data);
    enveloped::<SubmissionView>(data);
    enveloped::<OrderResponse>(data);
    enveloped::<QueueView>(data);
    enveloped::<QueueExplanation>(data);
}

fn enveloped<T: Payload + Serialize + DeserializeOwned>(data: &[u8]) {
    if let Ok(read) = Envelope::<T>::read(data) {
        let written = serde_json::to_vec(&Envelope::new(read)).expect("it can be written");
        assert!(
            Envelope::<T>::read(&written).is_ok(),
            "{}",
            String::from_utf8_lossy(&written)
        );
    }
}

fn same<T: Serialize + DeserializeOwned>(data: &[u8]) {
    if let Ok(read) = serde_json::from_slice::<T>(data) {
        let once = serde_json::to_string(&read).expect("what was read can be written");
        let again: T = serde_json::from_str(&once)
            .unwrap_or_else(|error| panic!("{error}: what was written cannot be read: {once}"));
        assert_eq!(serde_json::to_string(&again).ok(), Some(once));
    }
}
