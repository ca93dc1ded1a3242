//! What the vendors' answers have in common: the call that an agent's own tools can take, the whole
//! and the streamed form of an answer, and the instance of a JSON schema that side requests ask for.
//! Not a vendor's format; those are in their own files.

use serde_json::{Map, Value, json};

use super::step::{Reply, StepUsage};

/// Everything a vendor's renderer needs to answer one request.
pub(super) struct Answer<'a> {
    /// Unique in the provider; goes into ids.
    pub(super) serial: u64,
    /// The model that was asked for.
    pub(super) model: &'a str,
    /// The words, may be empty.
    pub(super) text: &'a str,
    /// The call, if any.
    pub(super) call: Option<Call>,
    /// Tokens claimed.
    pub(super) usage: StepUsage,
    /// Type and message of an error event that ends the stream.
    pub(super) stream_error: Option<(&'a str, &'a str)>,
}

/// A tool call in the asking agent's own shape.
pub(super) struct Call {
    /// The tool.
    pub(super) name: String,
    /// Its arguments.
    pub(super) input: Value,
}

/// An answer in both forms.
pub(super) struct Rendered {
    /// The body of a request that did not ask for a stream.
    pub(super) whole: Value,
    /// The frames of a stream, each complete.
    pub(super) frames: Vec<String>,
}

/// One `event:`/`data:` frame.
pub(super) fn event(name: &str, data: &Value) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

/// One frame without a name.
pub(super) fn data(data: &Value) -> String {
    format!("data: {data}\n\n")
}

/// The call a reply wants, given the names of the tools the agent offered. A tool that was not
/// offered is called by its usual name: the agent then says so to the model.
pub(super) fn call_for(reply: &Reply, offered: &[String]) -> Option<Call> {
    let has = |name: &str| offered.iter().any(|n| n == name);
    let described = |command: &str| json!({"command": command, "description": "mock command"});
    match reply {
        Reply::Tool { shell, .. } => Some(shell_call(shell, offered)),
        Reply::Write { path, content } => Some(if has("Write") {
            Call {
                name: "Write".to_owned(),
                input: json!({"file_path": path, "content": content}),
            }
        } else if has("write_file") {
            Call {
                name: "write_file".to_owned(),
                input: json!({"file_path": path, "content": content}),
            }
        } else if has("write") {
            Call {
                name: "write".to_owned(),
                input: json!({"filePath": path, "content": content}),
            }
        } else if offered.is_empty() {
            Call {
                name: "Bash".to_owned(),
                input: described(&heredoc(path, content)),
            }
        } else {
            shell_call(&heredoc(path, content), offered)
        }),
        Reply::Call { name, input } => Some(Call {
            name: name.clone(),
            input: input.clone(),
        }),
        Reply::Text { .. }
        | Reply::Error { .. }
        | Reply::StreamError { .. }
        | Reply::Hang
        | Reply::Reset
        | Reply::Raw { .. }
        | Reply::Cut { .. } => None,
    }
}

/// A shell command in the shape of whichever shell tool the agent offers.
fn shell_call(command: &str, offered: &[String]) -> Call {
    let known = [
        "Bash",
        "bash",
        "run_shell_command",
        "exec_command",
        "shell_command",
        "shell",
    ];
    let name = known
        .into_iter()
        .find(|name| offered.iter().any(|n| n == name))
        .unwrap_or("Bash");
    let input = match name {
        "exec_command" => json!({"cmd": command, "yield_time_ms": 10_000}),
        "shell_command" => json!({"command": command}),
        "shell" => json!({"command": ["/bin/sh", "-c", command]}),
        _ => json!({"command": command, "description": "mock command"}),
    };
    Call {
        name: name.to_owned(),
        input,
    }
}

/// A shell command that writes a file with any content.
fn heredoc(path: &str, content: &str) -> String {
    let quoted = path.replace('\'', r"'\''");
    format!("cat > '{quoted}' <<'LONGHAUL_MOCK_END'\n{content}\nLONGHAUL_MOCK_END")
}

/// The smallest instance of a JSON schema: required properties, first of each `enum`. Enough for the
/// titles and routing decisions agents ask of small models.
pub(super) fn instance(schema: &Value) -> Value {
    if let Some(first) = schema
        .get("enum")
        .and_then(Value::as_array)
        .and_then(|all| all.first())
    {
        return first.clone();
    }
    let kind = schema
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or("object");
    match kind.to_ascii_lowercase().as_str() {
        "string" => json!("mock"),
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        "boolean" => json!(false),
        "array" => json!([]),
        "null" => Value::Null,
        _ => {
            let mut object = Map::new();
            let properties = schema.get("properties").and_then(Value::as_object);
            let required = schema.get("required").and_then(Value::as_array);
            for name in required.into_iter().flatten().filter_map(Value::as_str) {
                let property = properties.and_then(|p| p.get(name)).unwrap_or(&Value::Null);
                object.insert(name.to_owned(), instance(property));
            }
            Value::Object(object)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_command_takes_the_shape_of_the_offered_tool() {
        let reply = Reply::Tool {
            text: String::new(),
            shell: "true".to_owned(),
        };
        let call = |names: &[&str]| {
            let offered: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
            let call = call_for(&reply, &offered).expect("a tool reply has a call");
            (call.name, call.input)
        };
        assert_eq!(call(&["Read", "Bash"]).1["command"], "true");
        assert_eq!(call(&["exec_command"]).1["cmd"], "true");
        assert_eq!(call(&["shell"]).1["command"][2], "true");
        assert_eq!(call(&["run_shell_command"]).0, "run_shell_command");
    }

    #[test]
    fn the_instance_of_a_schema_has_what_it_requires() {
        let schema = json!({"type": "object", "required": ["title", "n", "pick"], "properties": {
            "title": {"type": "STRING"}, "n": {"type": "integer"}, "pick": {"enum": ["a", "b"]},
            "other": {"type": "string"}}});
        assert_eq!(
            instance(&schema),
            json!({"title": "mock", "n": 1, "pick": "a"})
        );
    }
}
