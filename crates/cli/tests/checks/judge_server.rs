//! A judge's endpoint on loopback that answers by test name: `/NAME/v1/…`. Not a model.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

/// What is answered.
#[derive(Clone)]
pub(crate) enum Answer {
    /// This status and body.
    Body(u16, String),
    /// A redirect.
    Redirect(String),
    /// The request's own headers, with this status.
    Echo(u16),
    /// The other one after so many seconds.
    Late(u64, Box<Answer>),
    /// Nothing until the client goes.
    Silence,
    /// A body of this many megabytes.
    Endless(usize),
}

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
    /// Command lines of all processes at that moment.
    pub(crate) command_lines: String,
}

/// A running endpoint; its threads end with the test's process.
pub(crate) struct JudgeServer {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl JudgeServer {
    pub(crate) fn start(answers: BTreeMap<&'static str, Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answers, seen) = (answers.clone(), Arc::clone(&seen));
                std::thread::spawn(move || drop(serve(stream, &answers, &seen)));
            }
        });
        Self { port, asked }
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }

    /// Everything asked below `/NAME/`.
    pub(crate) fn asked(&self, name: &str) -> Vec<Asked> {
        let prefix = format!("/{name}/");
        let mut all = self.asked.lock().unwrap().clone();
        all.retain(|a| a.path.starts_with(&prefix));
        all
    }
}

fn serve(
    stream: TcpStream,
    answers: &BTreeMap<&'static str, Answer>,
    seen: &Mutex<Vec<Asked>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|l| l.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let name = path.split('/').nth(1).unwrap_or_default().to_owned();
    let echoed = format!("{headers:?}");
    seen.lock().unwrap().push(Asked {
        path,
        headers,
        body: serde_json::from_slice(&body).unwrap_or_default(),
        command_lines: command_lines(),
    });
    let mut out = stream;
    let mut answer = answers.get(name.as_str());
    if let Some(Answer::Late(seconds, later)) = answer {
        // The time that a model takes.
        std::thread::sleep(Duration::from_secs(*seconds));
        answer = Some(later);
    }
    let whole = |status: u16, more: &str, body: &str| {
        format!(
            "HTTP/1.1 {status} Word\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n{more}\r\n{body}",
            body.len()
        )
    };
    match answer {
        Some(Answer::Body(status, body)) => out.write_all(whole(*status, "", body).as_bytes()),
        Some(Answer::Redirect(to)) => {
            out.write_all(whole(307, &format!("location: {to}\r\n"), "").as_bytes())
        }
        Some(Answer::Echo(status)) => {
            let body = json!({"error": {"message": format!("bad key in {echoed}")}}).to_string();
            out.write_all(whole(*status, "", &body).as_bytes())
        }
        Some(Answer::Silence) => {
            out.set_read_timeout(Some(Duration::from_secs(60)))?;
            out.read(&mut [0]).map(drop)
        }
        Some(Answer::Endless(mib)) => {
            write!(
                out,
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
                mib << 20
            )?;
            for _ in 0..*mib {
                out.write_all(&vec![b' '; 1 << 20])?;
            }
            Ok(())
        }
        Some(Answer::Late(..)) | None => out.write_all(whole(404, "", "{}").as_bytes()),
    }
}

fn command_lines() -> String {
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().parse::<u32>().is_ok())
        .filter_map(|e| std::fs::read(e.path().join("cmdline")).ok())
        .map(|c| String::from_utf8_lossy(&c).replace('\0', " ") + "\n")
        .collect()
}

/// Anthropic's answer with this call of the verdict tool.
pub(crate) fn anthropic(input: &Value) -> Answer {
    Answer::Body(
        200,
        json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "tool_use",
            "content": [
                {"type": "text", "text": "PASS. The verdict is pass."},
                {"type": "tool_use", "id": "t", "name": "verdict", "input": input},
            ],
            "usage": {"input_tokens": 1200, "output_tokens": 34, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 6}})
        .to_string(),
    )
}

/// OpenAI's answer with this text.
pub(crate) fn openai(text: &str) -> Answer {
    Answer::Body(
        200,
        json!({"id": "c", "object": "chat.completion", "model": "m",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
            "usage": {"prompt_tokens": 700, "completion_tokens": 20, "total_tokens": 720}})
        .to_string(),
    )
}
