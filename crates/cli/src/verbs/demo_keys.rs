//! The demo's two keys: a client asks through the real gateway; a provider that is pretended here says when a key is at
//! its limit. First the other key answers the same request, then a request waits until the first reset (A9, A15).

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use longhaul_acts::files;
use longhaul_core::account::{Provider, Strategy};
use longhaul_core::ids::Fence;
use longhaul_gateway::api::{
    AccountChoice, AccountSpec, AccountsRequest, Key, Policy, SessionSpec, Token,
};
use tokio::sync::mpsc::UnboundedSender;

use crate::context::Context;
use crate::output::palette;
use crate::paths::Paths;
use crate::wire::visitor::{Visitor, forget};

const GIVER: &str = "demo";
/// Seconds for which the first key rests; the second one rests longer.
const REST_S: u64 = 3;
/// How long all of it may take.
const TIME: Duration = Duration::from_secs(60);

/// What was said so far, and whether to stop.
pub(super) struct Keys {
    thread: JoinHandle<Result<(), String>>,
    stop: Arc<AtomicBool>,
    paths: Paths,
}

impl Keys {
    /// Begins; what happens is told to `notes`.
    pub(super) fn begin(context: &Context, notes: UnboundedSender<String>) -> Self {
        let paths = context.paths().clone();
        let color = context.printer.color();
        let stop = Arc::new(AtomicBool::new(false));
        let (own, stopped) = (paths.clone(), Arc::clone(&stop));
        let note = move |text: String| {
            // Nobody listens any more if the follow has ended.
            drop(notes.send(palette::paint(color, palette::WARN, &text)));
        };
        let thread = std::thread::spawn(move || play(&own, &stopped, &note));
        Self {
            thread,
            stop,
            paths,
        }
    }

    /// Waits for its end, or ends it if `early`. The gateway goes with it.
    pub(super) fn end(self, early: bool) -> Result<(), String> {
        if early {
            self.stop.store(true, Ordering::Relaxed);
            // A request that waits there is answered when its session goes.
            forget(&self.paths, GIVER, &[GIVER.to_owned()]);
        }
        let played = self.thread.join();
        forget(&self.paths, GIVER, &[GIVER.to_owned()]);
        let played = played.unwrap_or_else(|_| Err("it broke off".to_owned()));
        if early { Ok(()) } else { played }
    }
}

fn play(paths: &Paths, stop: &Arc<AtomicBool>, note: &dyn Fn(String)) -> Result<(), String> {
    let io = |e: std::io::Error| e.to_string();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(io)?;
    let port = listener.local_addr().map_err(io)?.port();
    let ended = Arc::new(AtomicBool::new(false));
    let provider = {
        let ended = Arc::clone(&ended);
        std::thread::spawn(move || provide(&listener, &ended))
    };
    let asked = ask_thrice(paths, port, stop, note);
    ended.store(true, Ordering::Relaxed);
    // Wakes it, so that it sees that it is over.
    drop(TcpStream::connect((Ipv4Addr::LOCALHOST, port)));
    drop(provider.join());
    asked
}

fn ask_thrice(
    paths: &Paths,
    port: u16,
    stop: &AtomicBool,
    note: &dyn Fn(String),
) -> Result<(), String> {
    let account = |n: u32| AccountSpec {
        id: format!("demo-{n}"),
        provider: Provider::Anthropic,
        key: Key::new(format!("pretended-key-{n}")),
        base_url: Some(format!("http://127.0.0.1:{port}")),
        priority: n,
        max_concurrent: None,
        check_model: None,
        generation: 0,
    };
    let request = AccountsRequest {
        giver: GIVER.to_owned(),
        accounts: vec![account(1), account(2)],
        policy: Policy::default(),
    };
    let token = Token::generate().map_err(|e| e.to_string())?;
    let mut visitor = Visitor::new(paths, GIVER, request).map_err(|f| f.to_string())?;
    let status = visitor.enter()?;
    let session = SessionSpec {
        token_hash: token.hash(),
        task: None,
        fence: Fence(0),
        provider: Provider::Anthropic,
        accounts: AccountChoice::Any,
        strategy: Strategy::Priority,
        budget: Default::default(),
        waits: false,
        holds: true,
    };
    visitor.put_session(GIVER, &session)?;
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(TIME))
        .proxy(None)
        .build()
        .into();
    let url = format!("{}/v1/messages", status.url());
    let ask = || {
        if stop.load(Ordering::Relaxed) {
            return Err("stopped".to_owned());
        }
        let begun = Instant::now();
        let body = r#"{"model":"claude-haiku-4-5","max_tokens":9,"messages":[]}"#;
        let request = agent.post(&url).header("x-api-key", token.expose());
        let answer = request
            .header("content-type", "application/json")
            .send(body);
        let text = answer.and_then(|mut a| a.body_mut().read_to_string());
        Ok((text.map_err(|e| e.to_string())?, begun.elapsed()))
    };
    for (n, wanted) in [1, 2, 1].into_iter().enumerate() {
        let (answer, took) = ask()?;
        if !answer.contains(&format!("with key {wanted}")) {
            return Err(format!("request {} was answered with {answer}", n + 1));
        }
        note(match n {
            0 => "demo: two keys behind the gateway; a request was answered with key 1".to_owned(),
            1 => "demo: key 1 is at its limit; the same request went on with key 2, nothing restarted".to_owned(),
            _ => format!(
                "demo: both keys at their limits; a request waited {}.{} s for the first reset, then key 1 answered",
                took.as_secs(),
                took.subsec_millis() / 100
            ),
        });
    }
    Ok(())
}

/// Answers until it is over: each key's first request, then a limit, then again.
fn provide(listener: &TcpListener, ended: &AtomicBool) {
    let mut counts = [0_u32; 2];
    for stream in listener.incoming() {
        if ended.load(Ordering::Relaxed) {
            return;
        }
        let Ok(stream) = stream else { continue };
        // One request in each connection; one that breaks off concerns the gateway, which tries again.
        drop(answer_one(stream, &mut counts));
    }
}

fn answer_one(mut stream: TcpStream, counts: &mut [u32; 2]) -> std::io::Result<()> {
    stream.set_read_timeout(Some(TIME))?;
    let mut reader = BufReader::new(stream.try_clone()?.take(64 << 10));
    let (mut key, mut length) = (0, 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        key |= usize::from(line.ends_with("pretended-key-2"));
        if line.is_empty() {
            break;
        }
    }
    reader.read_exact(&mut vec![0; length])?;
    counts[key] += 1;
    let limit = if counts[key] == 2 {
        let rest = REST_S + 60 * key as u64;
        format!(
            "retry-after: {rest}\r\nanthropic-ratelimit-requests-limit: 50\r\nanthropic-ratelimit-requests-remaining: 0\r\n"
        )
    } else {
        String::new()
    };
    let (status, body) = if limit.is_empty() {
        let text = format!("answered with key {}", key + 1);
        let body = format!(
            r#"{{"type":"message","role":"assistant","model":"claude-haiku-4-5","content":[{{"type":"text","text":"{text}"}}],"usage":{{"input_tokens":9,"output_tokens":4}}}}"#
        );
        ("200 OK", body)
    } else {
        let body = r#"{"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed your rate limit."}}"#;
        ("429 Too Many Requests", body.to_owned())
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n{limit}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    files::write_all("cli.demo.provider", &mut stream, answer.as_bytes())
}
