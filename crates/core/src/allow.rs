//! The `allow` lines that let a denied command pass (T27). Agents judge every part of a compound command
//! by itself, and do not match redirections: a rule made of the whole line would never fit (measured
//! with Claude Code 2.1.197: `make test 2>&1 | tail -5`, two lines).

/// Most lines that are proposed.
const MAX_LINES: usize = 10;

/// One line for each simple command in a shell command, without redirections, each once.
#[must_use]
pub fn allow_lines(command: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in parts(command) {
        let line = without_redirections(&part);
        if !line.is_empty() && !lines.contains(&line) && lines.len() < MAX_LINES {
            lines.push(line);
        }
    }
    lines
}

/// True for tools that run commands, in the spelling of any agent.
#[must_use]
pub fn runs_commands(tool: &str) -> bool {
    let tool = tool.to_ascii_lowercase();
    tool == "bash" || tool.contains("shell") || tool.contains("command") || tool == "exec"
}

/// Reads a shell command character by character, quotes and escapes kept as they are.
struct Chars<'t> {
    rest: std::iter::Peekable<std::str::Chars<'t>>,
    quote: Option<char>,
}

impl<'t> Chars<'t> {
    fn of(text: &'t str) -> Self {
        Self {
            rest: text.chars().peekable(),
            quote: None,
        }
    }

    /// The next character, the one it escapes if it does, and whether it is plain: neither quoted nor
    /// escaped.
    fn next(&mut self) -> Option<(char, Option<char>, bool)> {
        let c = self.rest.next()?;
        if c == '\\' && self.quote != Some('\'') {
            return Some((c, self.rest.next(), false));
        }
        match self.quote {
            Some(open) => {
                if c == open {
                    self.quote = None;
                }
                Some((c, None, false))
            }
            None if c == '"' || c == '\'' => {
                self.quote = Some(c);
                Some((c, None, false))
            }
            None => Some((c, None, true)),
        }
    }
}

/// The simple commands between the operators.
fn parts(command: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut part = String::new();
    let mut chars = Chars::of(command);
    while let Some((c, escaped, plain)) = chars.next() {
        // `2>&1` and `&>` are redirections, no operators.
        let redirects = c == '&' && (part.ends_with('>') || chars.rest.peek() == Some(&'>'));
        if plain && matches!(c, '|' | ';' | '&' | '\n') && !redirects {
            all.push(std::mem::take(&mut part));
        } else {
            part.push(c);
            part.extend(escaped);
        }
    }
    all.push(part);
    all
}

/// The words of a simple command but for redirections and their targets.
fn without_redirections(part: &str) -> String {
    let mut kept: Vec<String> = Vec::new();
    let mut skip_next = false;
    for word in words(part) {
        if std::mem::take(&mut skip_next) {
            continue;
        }
        let bare = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '&');
        if bare.starts_with('>') || bare.starts_with('<') {
            skip_next = bare.trim_matches(['>', '<', '|']).is_empty();
        } else if word.ends_with('…') {
            // What an agent told was cut here; the beginning is enough for a rule.
            break;
        } else {
            kept.push(word);
        }
    }
    kept.join(" ")
}

fn words(part: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut word = String::new();
    let mut chars = Chars::of(part);
    while let Some((c, escaped, plain)) = chars.next() {
        if plain && c.is_whitespace() {
            all.push(std::mem::take(&mut word));
        } else {
            word.push(c);
            word.extend(escaped);
        }
    }
    all.push(word);
    all.retain(|w| !w.is_empty());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t27_every_part_of_a_command_gets_a_line_of_its_own() {
        for (command, lines) in [
            ("npm test", &["npm test"][..]),
            ("make test 2>&1 | tail -5", &["make test", "tail -5"]),
            ("make test\nls", &["make test", "ls"]),
            ("make && make; make & wait", &["make", "wait"]),
            ("cargo test > out.txt 2>/dev/null", &["cargo test"]),
            ("cmd &> all.log < in", &["cmd"]),
            (
                "git commit -m \"x; y > z\" && git push",
                &["git commit -m \"x; y > z\"", "git push"],
            ),
            ("echo a\\;b 'c|d'", &["echo a\\;b 'c|d'"]),
            (
                "python long --argument that-was-cu…",
                &["python long --argument"],
            ),
            ("FOO=1 make test", &["FOO=1 make test"]),
            ("'open quote | x", &["'open quote | x"]),
            ("\\", &["\\"]),
            (" ; | ", &[]),
        ] {
            assert_eq!(allow_lines(command), lines, "{command}");
        }
    }

    #[test]
    fn what_an_agent_says_is_bounded() {
        let many: String = (0..100).map(|n| format!("cmd{n};")).collect();
        assert_eq!(allow_lines(&many).len(), MAX_LINES);
    }
}
