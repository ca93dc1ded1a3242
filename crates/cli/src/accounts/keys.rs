//! Reading keys from where they are: a variable, a file of the user's alone, a command. A key goes nowhere but
//! to the gateway or into one request (I12); no message here holds a part of one.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_config::accounts::{FOUND_MAX, Found, FoundAt, lines, parts};
use longhaul_config::files::read_bounded;
use longhaul_config::settings::KeySource;
use longhaul_gateway::api::Key;

use crate::env::Env;

/// Largest file of keys.
const FILE_MAX: u64 = 1 << 20;
/// Longest key.
const KEY_MAX: usize = 8 << 10;
/// How long a command may take: a keyring may ask somebody first.
const COMMAND_TIME: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Where keys are looked for.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) env: &'a Env,
    pub(crate) home: &'a Utf8Path,
}

impl Reader<'_> {
    /// The key of a source.
    ///
    /// # Errors
    /// In words, without any of its content.
    pub(crate) fn key(&self, source: &KeySource) -> Result<Key, String> {
        match source {
            KeySource::Env(name) => sound(self.variable(name)?),
            KeySource::File(path) => {
                let text = self.file(path)?;
                let mut keys = lines(&text);
                match (keys.next(), keys.next()) {
                    (Some(key), None) => sound(key),
                    (None, _) => Err(format!("{path} holds no key")),
                    (Some(_), Some(_)) => Err(format!("{path} holds more than one key")),
                }
            }
            KeySource::Command(command) => sound(printed(command, self.env)?.trim()),
        }
    }

    /// The key of a variable that was found.
    pub(super) fn found(&self, found: &Found) -> Result<Key, String> {
        let value = self.variable(&found.variable)?;
        match found.at {
            FoundAt::Part(n) => sound(parts(value).nth(n.saturating_sub(1)).unwrap_or_default()),
            FoundAt::Whole | FoundAt::File => sound(value.trim()),
        }
    }

    /// The keys of the file that a variable names; one entry with the reason where it cannot be read.
    pub(super) fn file_of_keys(&self, found: &Found) -> Vec<Result<Key, String>> {
        let path = match self.variable(&found.variable) {
            Ok(path) => path,
            Err(why) => return vec![Err(why)],
        };
        match self.file(path) {
            Ok(text) => lines(&text).take(FOUND_MAX).map(sound).collect(),
            Err(why) => vec![Err(why)],
        }
    }

    fn variable(&self, name: &str) -> Result<&str, String> {
        match self.env.text(name) {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(format!("the variable {name} is not set")),
            Err(_) => Err(format!("the variable {name} is not UTF-8")),
        }
    }

    fn file(&self, path: &str) -> Result<String, String> {
        let path = match path.strip_prefix("~/") {
            Some(rest) => self.home.join(rest),
            None => Utf8PathBuf::from(path),
        };
        let unread = |why: &dyn std::fmt::Display| format!("cannot read {path}: {why}");
        let meta = std::fs::metadata(&path).map_err(|e| unread(&e))?;
        if meta.mode() & 0o077 != 0 {
            return Err(format!("others may read {path}: chmod 600 {path}"));
        }
        let bytes = read_bounded(&path, FILE_MAX).map_err(|e| unread(&e))?;
        String::from_utf8(bytes).map_err(|_| format!("{path} is not UTF-8"))
    }
}

/// A key that can stand in a header.
fn sound(text: &str) -> Result<Key, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if text.len() > KEY_MAX {
        return Err(format!("it is longer than {KEY_MAX} bytes"));
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("it holds characters that no key has".to_owned());
    }
    Ok(Key::new(text.to_owned()))
}

/// What a command prints, within a time.
fn printed(command: &str, env: &Env) -> Result<String, String> {
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", command])
        .env_clear()
        .envs(env.all())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = longhaul_acts::process::spawn("cli.account.key", &mut shell)
        .map_err(|e| format!("its command cannot be run: {e}"))?;
    let mut out = child.stdout.take();
    let reading = std::thread::spawn(move || {
        let mut text = Vec::new();
        let read = out
            .as_mut()
            .map(|out| out.take(FILE_MAX).read_to_end(&mut text));
        read.is_some_and(|r| r.is_ok()).then_some(text)
    });
    let deadline = Instant::now() + COMMAND_TIME;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() > deadline => {
                // Ours, and not waited for yet: nobody else can have its pid.
                let _gone = longhaul_acts::process::kill("cli.account.key.kill", &mut child);
                let _reaped = child.wait();
                return Err(format!(
                    "its command did not end within {} seconds",
                    COMMAND_TIME.as_secs()
                ));
            }
            Ok(None) => std::thread::sleep(LOOK_EVERY),
            Err(e) => return Err(format!("its command cannot be waited for: {e}")),
        }
    };
    if !status.success() {
        return Err(format!("its command failed ({status})"));
    }
    let text = reading.join().ok().flatten();
    let text = text.ok_or_else(|| "what its command printed cannot be read".to_owned())?;
    String::from_utf8(text).map_err(|_| "its command did not print text".to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn read(source: KeySource) -> Result<String, String> {
        let env = Env::fake(&[("PATH", "/usr/bin:/bin"), ("GOOD", "sk-1"), ("BAD", "sk 1")]);
        let reader = Reader {
            env: &env,
            home: Utf8Path::new("/nowhere"),
        };
        reader.key(&source).map(|key| key.expose().to_owned())
    }

    #[test]
    fn a1_keys_come_from_variables_commands_and_private_files() {
        assert_eq!(read(KeySource::Env("GOOD".into())).unwrap(), "sk-1");
        assert!(
            read(KeySource::Env("BAD".into()))
                .unwrap_err()
                .contains("no key has")
        );
        assert!(
            read(KeySource::Env("NONE".into()))
                .unwrap_err()
                .contains("NONE")
        );
        assert_eq!(
            read(KeySource::Command("echo sk-$((1+1))".into())).unwrap(),
            "sk-2"
        );
        assert!(
            read(KeySource::Command("exit 3".into()))
                .unwrap_err()
                .contains("failed")
        );
        assert!(
            read(KeySource::Command("true".into()))
                .unwrap_err()
                .contains("empty")
        );
        // What goes on behind the command does not hold it up.
        let behind = KeySource::Command("echo sk-3; exec 1>&-; sleep 0.1".into());
        assert_eq!(read(behind).unwrap(), "sk-3");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "# mine\nsk-4\n").unwrap();
        let file = || KeySource::File(path.to_str().unwrap().to_owned());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read(file()).unwrap_err().contains("chmod 600"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(read(file()).unwrap(), "sk-4");
        std::fs::write(&path, "sk-4\nsk-5\n").unwrap();
        assert!(read(file()).unwrap_err().contains("more than one"));
    }

    #[test]
    fn i12_no_message_holds_a_part_of_a_key() {
        for source in [
            KeySource::Env("BAD".into()),
            KeySource::Command("echo 'sk secret'".into()),
        ] {
            let why = read(source).unwrap_err();
            assert!(!why.contains("sk"), "{why}");
        }
    }
}
