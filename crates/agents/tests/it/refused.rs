//! Refused writes (T25) in the streams of every agent: shapes as recorded, words as the kernel has them.

use longhaul_agents::{ExitStatusInfo, ParserContext, Registry};
use longhaul_core::attempt::RefusedWrite;
use longhaul_core::time::UnixMs;

use crate::world::Recorded;

fn told(harness: &str, lines: &[serde_json::Value]) -> Vec<RefusedWrite> {
    let registry = Registry::builtin();
    let harness = registry.resolve(harness).expect("built in");
    let mut parser = harness.parser(&ParserContext::default());
    let mut events = Vec::new();
    for line in lines {
        parser.push(format!("{line}\n").as_bytes(), &mut events);
    }
    let end = parser.finish(ExitStatusInfo::exited(0), UnixMs(0), &mut events);
    end.refused_writes
}

#[track_caller]
fn assert_told(all: &[RefusedWrite], expected: &[(&str, Option<&str>)]) {
    let got: Vec<(&str, Option<&str>)> = all
        .iter()
        .map(|r| (r.tool.as_str(), r.path.as_deref()))
        .collect();
    assert_eq!(got, expected);
}

fn claude_call(id: &str, name: &str, input: serde_json::Value) -> serde_json::Value {
    serde_json::json!({"type": "assistant", "message": {"id": id, "role": "assistant",
        "content": [{"type": "tool_use", "id": id, "name": name, "input": input}]}})
}

fn claude_result(id: &str, error: bool, content: serde_json::Value) -> serde_json::Value {
    serde_json::json!({"type": "user", "message": {"role": "user", "content": [
        {"type": "tool_result", "content": content, "is_error": error, "tool_use_id": id}]},
        "parent_tool_use_id": null, "session_id": "s"})
}

#[test]
fn t25_claude() {
    use serde_json::json;
    let all = told(
        "claude",
        &[
            claude_call("t1", "Bash", json!({"command": "touch /etc/a"})),
            // Calls in parallel: the result names its call.
            claude_call(
                "t2",
                "Write",
                json!({"file_path": "/etc/b", "content": "x"}),
            ),
            claude_call("t3", "Bash", json!({"command": "touch /etc/c || true"})),
            claude_call("t4", "Read", json!({"file_path": "/work/log.txt"})),
            claude_result(
                "t2",
                true,
                json!("EACCES: permission denied, open '/etc/b'"),
            ),
            claude_result(
                "t1",
                true,
                json!("Exit code 1\ntouch: cannot touch '/etc/a': Permission denied"),
            ),
            // A command line that goes on after it is told too.
            claude_result(
                "t3",
                false,
                json!([{"type": "text", "text": "touch: cannot touch '/etc/c': Permission denied"}]),
            ),
            claude_result(
                "t4",
                false,
                json!("1\ttouch: cannot touch '/etc/d': Permission denied"),
            ),
            // What the agent itself says is no tool's result.
            json!({"type": "assistant", "message": {"id": "m", "content": [{"type": "text",
                "text": "touch: cannot touch '/etc/e': Permission denied"}]}}),
            json!({"type": "result", "subtype": "success", "is_error": false,
                "result": "bash: /etc/f: Permission denied"}),
        ],
    );
    assert_told(
        &all,
        &[
            ("Write", Some("/etc/b")),
            ("Bash", Some("/etc/a")),
            ("Bash", Some("/etc/c")),
        ],
    );
}

#[test]
fn t25_codex() {
    use serde_json::json;
    let item = |item: serde_json::Value| json!({"type": "item.completed", "item": item});
    let all = told(
        "codex",
        &[
            json!({"type": "thread.started", "thread_id": "t"}),
            item(json!({"id": "item_1", "type": "command_execution",
                "command": "/bin/bash -lc 'echo x > /etc/a'",
                "aggregated_output": "/bin/bash: line 1: /etc/a: Permission denied\n",
                "exit_code": 1, "status": "failed"})),
            item(json!({"id": "item_2", "type": "agent_message",
                "text": "/bin/bash: line 1: /etc/b: Permission denied"})),
            item(
                json!({"id": "item_3", "type": "mcp_tool_call", "server": "files", "tool": "put",
                "arguments": {"path": "/etc/c"}, "status": "failed",
                "error": {"message": "EACCES: permission denied, open '/etc/c'"}}),
            ),
            json!({"type": "turn.completed", "usage": {}}),
        ],
    );
    assert_told(
        &all,
        &[
            ("command_execution", Some("/etc/a")),
            ("files.put", Some("/etc/c")),
        ],
    );
}

#[test]
fn t25_gemini() {
    use serde_json::json;
    let call = |id: &str, tool: &str| json!({"type": "tool_use", "tool_name": tool, "tool_id": id, "parameters": {"command": "x"}});
    let all = told(
        "gemini",
        &[
            call("a", "run_shell_command"),
            call("b", "write_file"),
            call("c", "read_file"),
            json!({"type": "tool_result", "tool_id": "c", "status": "error",
                "output": "EACCES: permission denied, open '/etc/c'"}),
            json!({"type": "tool_result", "tool_id": "b", "status": "error",
                "error": {"type": "file_write_failure", "message": "EACCES: permission denied, open '/etc/b'"}}),
            json!({"type": "tool_result", "tool_id": "a", "status": "success",
                "output": "touch: cannot touch '/etc/a': Permission denied"}),
            json!({"type": "message", "role": "assistant", "content": "bash: /etc/d: Permission denied"}),
        ],
    );
    assert_told(
        &all,
        &[
            ("write_file", Some("/etc/b")),
            ("run_shell_command", Some("/etc/a")),
        ],
    );
}

#[test]
fn t25_opencode() {
    use serde_json::json;
    let tool = |tool: &str, state: serde_json::Value| {
        json!({"type": "tool_use", "sessionID": "s",
            "part": {"type": "tool", "tool": tool, "callID": "c", "state": state}})
    };
    let all = told(
        "opencode",
        &[
            tool(
                "bash",
                json!({"status": "completed", "input": {"command": "touch /etc/a"},
                "output": "touch: cannot touch '/etc/a': Permission denied\n", "metadata": {"exit": 1}}),
            ),
            tool(
                "write",
                json!({"status": "error", "input": {"filePath": "/etc/b"},
                "error": "EACCES: permission denied, open '/etc/b'"}),
            ),
            tool(
                "read",
                json!({"status": "completed", "input": {"filePath": "/x"},
                "output": "touch: cannot touch '/etc/c': Permission denied"}),
            ),
            json!({"type": "text", "part": {"text": "bash: /etc/d: Permission denied"}}),
        ],
    );
    assert_told(&all, &[("bash", Some("/etc/a")), ("write", Some("/etc/b"))]);
}

#[test]
fn t25_script() {
    use serde_json::json;
    let all = told(
        "script",
        &[
            json!({"type": "tool", "id": "1", "name": "write", "summary": "/etc/a"}),
            json!({"type": "tool_end", "id": "1", "ok": false, "output": "Permission denied (os error 13)"}),
            json!({"type": "tool", "id": "2", "name": "run", "summary": "echo x > /etc/b"}),
            json!({"type": "tool_end", "id": "2", "ok": false,
                "output": "/bin/sh: 1: cannot create /etc/b: Permission denied\n"}),
            json!({"type": "say", "text": "/bin/sh: 1: cannot create /etc/c: Permission denied"}),
        ],
    );
    assert_told(&all, &[("write", Some("/etc/a")), ("run", Some("/etc/b"))]);
}

/// None of the recorded sessions was refused a write, whatever their texts talk about.
#[test]
fn t25_no_recorded_stream_holds_a_refusal() {
    for sample in Recorded::all() {
        assert_eq!(sample.read().end.refused_writes, [], "{}", sample.name);
    }
}
