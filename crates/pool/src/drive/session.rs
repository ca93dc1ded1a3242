//! One turn in one session: looks, keystrokes, and the transcript as it grows.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use longhaul_agents::limits::Zone;
use longhaul_agents::screen::{
    ClaudeFeed, Facts, LimitWatch, Move, Over, OwnState, Patience, Showing, Sighting, Turn, read,
};
use longhaul_core::limit::LimitNotice;
use longhaul_hosts::{ProcessIdentity, SweepOutcome, Tree};
use serde_json::{Value, json};

use super::desk::{Desk, Taken, chain, now};

/// Between two looks while the prompt is delivered.
const QUICK: Duration = Duration::from_millis(200);

/// Between two looks while the agent works: each costs a process.
const SLOW: Duration = Duration::from_millis(1_000);

/// For an agent that was told to exit.
const EXIT_WAIT: Duration = Duration::from_secs(5);

/// Between TERM and KILL for the agent of a stuck session.
const GRACE: Duration = Duration::from_secs(5);

/// How often the server may fail to answer in a row.
const SILENCES: u32 = 5;

/// Most lines that are told of a screen.
const LAST_LINES: usize = 15;

/// How a session's turn ended.
pub(super) enum Ended {
    /// As the turn says.
    Over(Over),
    /// The terminal cannot be reached any more.
    Broken(String),
}

pub(super) struct Session<'d> {
    desk: &'d Desk,
    taken: Taken,
    turn: Turn,
    feed: ClaudeFeed,
    transcript: Option<PathBuf>,
    at: u64,
    limits: Option<LimitWatch>,
    /// Seen once, it holds: what was new then is old at the next look.
    limit: Option<LimitNotice>,
    zone: Zone,
    begun: Instant,
    screen: String,
}

impl<'d> Session<'d> {
    pub(super) fn new(desk: &'d Desk, taken: Taken) -> Self {
        let patience = Patience {
            ack_ms: desk.order.pool.ack_timeout_ms,
            ..Patience::default()
        };
        let transcript = transcript(desk.order.records.as_std_path(), &taken.conversation);
        Self {
            turn: Turn::new(patience, 0),
            feed: ClaudeFeed::new(&taken.conversation),
            // What is in a resumed conversation's transcript now is not this turn's.
            at: transcript
                .as_ref()
                .and_then(|p| p.metadata().ok())
                .map_or(0, |m| m.len()),
            transcript,
            limits: None,
            limit: None,
            zone: Zone::named(desk.order.time_zone.as_deref()),
            begun: Instant::now(),
            screen: String::new(),
            desk,
            taken,
        }
    }

    /// Whether the agent may have begun to work.
    pub(super) const fn has_pasted(&self) -> bool {
        self.turn.has_pasted()
    }

    pub(super) const fn feed(&self) -> &ClaudeFeed {
        &self.feed
    }

    /// Until the turn is over, however.
    pub(super) fn run(&mut self) -> Ended {
        let mut silences = 0;
        loop {
            let shot = match self.desk.server.capture(&self.taken.name) {
                Ok(shot) => shot,
                Err(_) if silences < SILENCES => {
                    silences += 1;
                    std::thread::sleep(QUICK);
                    continue;
                }
                Err(error) => {
                    return Ended::Broken(format!("the terminal is gone: {}", chain(&error)));
                }
            };
            silences = 0;
            self.screen = shot.screen;
            self.take_transcript();
            let mut look = read(self.desk.order.agent, &self.screen);
            if shot.dead || shot.pid != self.taken.pid {
                look.showing = Showing::Ended;
            }
            let facts = self.facts();
            let ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            match self.turn.step(ms, &look, &facts) {
                Move::Over(over) => {
                    // What the transcript says of it may be a moment behind the screen.
                    std::thread::sleep(QUICK);
                    self.take_transcript();
                    return Ended::Over(over);
                }
                step => {
                    if let Err(error) = self.act(&step) {
                        return Ended::Broken(format!("cannot type: {}", chain(&error)));
                    }
                }
            }
            std::thread::sleep(if self.turn.is_working() { SLOW } else { QUICK });
        }
    }

    fn act(&mut self, step: &Move) -> Result<(), crate::tmux::TmuxError> {
        let (server, name) = (&self.desk.server, self.taken.name.as_str());
        match step {
            Move::Wait | Move::Over(_) => Ok(()),
            Move::Clear => server.press(name, "C-u"),
            Move::Paste => {
                let prompt = &self.desk.order.prompt;
                self.limits = Some(LimitWatch::new(self.desk.order.agent, &self.screen, prompt));
                server.paste(name, &self.desk.order.key, prompt)
            }
            Move::Enter => {
                if self.turn.has_pasted() {
                    // Said before: whoever is killed now finds the conversation again.
                    self.desk.say(&self.feed.start());
                }
                server.press(name, "Enter")
            }
            Move::Ask(question) => {
                let how = format!("{question} (`longhaul pool attach {name}` to answer)");
                self.desk.say(
                    &json!({"type": "control_request", "request": {"tool_name": "permission",
                        "input": {"question": how}}})
                    .to_string(),
                );
                Ok(())
            }
            Move::Retrying { delay_s, attempt } => {
                self.desk.say(
                    &json!({"type": "system", "subtype": "api_retry", "attempt": attempt,
                        "retry_delay_ms": delay_s.map(|s| s.saturating_mul(1_000)), "error": "unknown"})
                    .to_string(),
                );
                Ok(())
            }
        }
    }

    fn facts(&mut self) -> Facts {
        if let Some(watch) = self.limits.as_mut()
            && let Sighting::Limit(seen) = watch.look(&self.screen, now(), &self.zone)
        {
            self.limit = Some(seen.notice);
        }
        Facts {
            acknowledged: self.feed.acknowledged(),
            turn_over: self.feed.turn_over(),
            signalled: self.turn.is_working() && self.desk.signal(&self.taken.name).exists(),
            own: self.own_state(),
            limit: self.limit.clone(),
        }
    }

    /// Reads what the transcript has grown by, and tells it.
    fn take_transcript(&mut self) {
        if self.transcript.is_none() {
            self.transcript = transcript(
                self.desk.order.records.as_std_path(),
                &self.taken.conversation,
            );
        }
        let Some(path) = &self.transcript else { return };
        let mut lines = Vec::new();
        let read = File::open(path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.at))?;
            let mut chunk = vec![0; 64 << 10];
            loop {
                let n = file.read(&mut chunk)?;
                if n == 0 {
                    return Ok(());
                }
                self.at += n as u64;
                self.feed.push(&chunk[..n], &mut lines);
            }
        });
        if let Err(error) = read {
            self.desk
                .status(&format!("cannot read {}: {error}", path.display()));
        }
        for line in lines {
            self.desk.say(&line);
        }
    }

    /// The agent's word on itself, if it is about this very process and conversation (facts/agents.md §7).
    fn own_state(&self) -> Option<OwnState> {
        let folder = self.desk.order.states.as_ref()?;
        let bytes = std::fs::read(folder.join(format!("{}.json", self.taken.pid))).ok()?;
        let state: Value = serde_json::from_slice(&bytes).ok()?;
        if state["sessionId"] != *self.taken.conversation {
            return None;
        }
        match state["status"].as_str()? {
            "busy" => Some(OwnState::Busy),
            "waiting" => Some(OwnState::Waiting),
            "idle" => Some(OwnState::Idle),
            _ => None,
        }
    }

    /// Recycles the session after a finished turn: the agent is told to exit, where its prompt is empty. If it does not
    /// follow, the shim ends it with the driver.
    pub(super) fn leave(&self) {
        self.desk.remove_signal(&self.taken.name);
        let server = &self.desk.server;
        let idle = |screen: &str| read(self.desk.order.agent, screen).showing == Showing::Idle;
        let shot = server.capture(&self.taken.name);
        if !shot.is_ok_and(|s| s.pid == self.taken.pid && !s.dead && idle(&s.screen)) {
            return;
        }
        if server.write(&self.taken.name, "/exit").is_err() {
            return;
        }
        std::thread::sleep(QUICK);
        if server.press(&self.taken.name, "Enter").is_err() {
            return;
        }
        let begun = Instant::now();
        while begun.elapsed() < EXIT_WAIT {
            match server.capture(&self.taken.name) {
                Ok(shot) if !shot.dead && shot.pid == self.taken.pid => std::thread::sleep(QUICK),
                _ => return,
            }
        }
    }

    /// Ends the agent of a stuck session with all that it started (I8); whether it is gone.
    pub(super) fn end(&self) -> bool {
        let Ok(agent) = ProcessIdentity::of(self.taken.pid) else {
            return true;
        };
        Tree::new(&self.desk.order.key, vec![agent], None)
            .sweep(GRACE)
            .outcome
            == SweepOutcome::Clean
    }

    /// The end of the last screen, in one line each.
    pub(super) fn last_words(&self) -> String {
        let text = longhaul_agents::clean_text(&self.screen);
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|l| l.chars().any(char::is_alphanumeric))
            .collect();
        let from = lines.len().saturating_sub(LAST_LINES);
        format!("the agent left: {}", lines[from..].join("\n"))
    }
}

/// The transcript of a conversation, `<conversation>.jsonl` in one of the folders of `records`.
fn transcript(records: &Path, conversation: &str) -> Option<PathBuf> {
    let name = format!("{conversation}.jsonl");
    let folders = std::fs::read_dir(records).ok()?;
    folders
        .flatten()
        .map(|f| f.path().join(&name))
        .find(|p| p.is_file())
}

#[cfg(test)]
mod tests {
    use longhaul_core::time::UnixMs;

    use super::*;

    #[test]
    fn a_transcript_is_found_in_whichever_folder_it_is() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(transcript(&dir.path().join("none"), "id"), None);
        let at = dir.path().join("-home-x");
        std::fs::create_dir(&at).unwrap();
        assert_eq!(transcript(dir.path(), "id"), None);
        std::fs::write(at.join("id.jsonl"), "").unwrap();
        assert_eq!(transcript(dir.path(), "id"), Some(at.join("id.jsonl")));
        assert!(now() > UnixMs(0));
    }
}
