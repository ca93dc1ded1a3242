//! The command in front and the terminal that it has: starting, ending, pausing, and what signals mean meanwhile.
//! Whatever happens, the terminal is ours and in its old modes when this goes.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use longhaul_hosts::ProcessIdentity;
use longhaul_hosts::foreground::{Change, Front, PLAIN_SCREEN, Signals, Terminal, stop_here};
use rustix::process::Signal;

/// Between asking a command to end (TERM) and ending it (KILL).
const GRACE: Duration = Duration::from_secs(10);
/// Between two looks while something is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(200);
const LOOK_AT_ENDING: Duration = Duration::from_millis(30);

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happening {
    /// Nothing that concerns anybody else.
    Nothing,
    /// The command ended.
    Ended,
    /// There is input for us.
    Input,
    /// A signal came that ends a wait: it was passed on.
    Told(Signal),
}

/// The stage: at most one command on it.
pub(super) struct Stage {
    signals: Signals,
    terminal: Option<Terminal>,
    /// The command reads the keyboard and writes to the screen: it gets the terminal from the start.
    interactive: bool,
    /// It has the terminal now.
    handed: bool,
    paused: bool,
    front: Option<Front>,
}

impl Stage {
    /// Takes signals over; before any thread is started.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            signals: Signals::take()?,
            terminal: Terminal::controlling(),
            interactive: io::stdin().is_terminal() && io::stdout().is_terminal(),
            handed: false,
            paused: false,
            front: None,
        })
    }

    /// Starts a command. On a terminal of ours it has that from its first instruction on.
    ///
    /// # Errors
    /// As [`Command::spawn`].
    pub(super) fn start(&mut self, command: &mut Command) -> io::Result<()> {
        let ours = self.interactive && self.terminal.as_ref().is_some_and(Terminal::is_ours);
        let terminal = self.terminal.as_ref().filter(|_| ours);
        let front = Front::start(command, &self.signals, terminal)?;
        self.handed = ours;
        self.front = Some(front);
        if ours {
            // Again from here: it does not matter which of us is first.
            self.give();
        }
        Ok(())
    }

    /// Who the command is.
    pub(super) fn identity(&self) -> Option<ProcessIdentity> {
        self.front.as_ref()?.identity()
    }

    /// Whether a line on standard error would land in the middle of a screen that the command draws.
    pub(super) fn is_screen_taken(&self) -> bool {
        let raw = || self.terminal.as_ref().is_some_and(Terminal::is_raw);
        self.handed && !self.paused && io::stderr().is_terminal() && raw()
    }

    /// Waits a moment for whatever comes, and carries out what signals mean for the command.
    pub(super) fn look(&mut self) -> Happening {
        self.look_for(LOOK_EVERY, false)
    }

    /// The same for at most `time`; `input`: also for a line that is typed.
    pub(super) fn look_for(&mut self, time: Duration, input: bool) -> Happening {
        let terminal = self.terminal.as_ref().filter(|_| input);
        let typed = self.signals.wait(terminal, time);
        let mut told = None;
        while let Some(signal) = self.signals.next() {
            if self.signalled(signal) {
                told = Some(signal);
            }
        }
        match self.front.as_ref().and_then(Front::change) {
            Some(Change::Ended) => Happening::Ended,
            Some(Change::Stopped(signal)) => {
                self.stopped(signal);
                Happening::Nothing
            }
            None => match told {
                Some(signal) => Happening::Told(signal),
                None if typed => Happening::Input,
                None => Happening::Nothing,
            },
        }
    }

    /// Passes a signal of ours on (R21). True: it ends whatever is waited for.
    fn signalled(&mut self, signal: Signal) -> bool {
        let Some(front) = &self.front else {
            return matches!(
                signal,
                Signal::INT | Signal::TERM | Signal::HUP | Signal::QUIT
            );
        };
        match signal {
            Signal::INT | Signal::TERM | Signal::HUP | Signal::QUIT => {
                front.signal(signal);
                if self.paused {
                    front.signal(Signal::CONT);
                }
                true
            }
            Signal::USR1 | Signal::USR2 => {
                front.signal(signal);
                false
            }
            // The kernel tells whoever has the terminal.
            Signal::WINCH if !self.handed => {
                front.signal(signal);
                false
            }
            // It stops, and then we do.
            Signal::TSTP => {
                if self.paused {
                    stop_here();
                } else {
                    front.signal(signal);
                }
                false
            }
            Signal::CONT => {
                self.continued();
                false
            }
            _ => false,
        }
    }

    /// The command was stopped by somebody else: we stop as well, for whoever started us.
    fn stopped(&mut self, signal: Signal) {
        if self.paused {
            return;
        }
        let wants = matches!(signal, Signal::TTIN | Signal::TTOU);
        let ours = self.terminal.as_ref().is_some_and(Terminal::is_ours);
        if wants && ours && !self.handed {
            // It wants the terminal, which is ours to give.
            self.give();
            self.resume();
            return;
        }
        if self.handed {
            self.take();
        }
        stop_here();
        self.interactive |= wants;
        self.continued();
        self.resume();
    }

    /// We go on: in front with the terminal for the command, behind without.
    fn continued(&mut self) {
        let ours = self.terminal.as_ref().is_some_and(Terminal::is_ours);
        if self.interactive && ours && !self.handed && !self.paused {
            self.give();
        }
    }

    fn resume(&self) {
        if let Some(front) = &self.front {
            front.signal(Signal::CONT);
        }
    }

    fn give(&mut self) {
        if let (Some(terminal), Some(front)) = (&mut self.terminal, &self.front) {
            terminal.give(front.group());
            self.handed = true;
        }
    }

    fn take(&mut self) {
        if let Some(terminal) = self.terminal.as_mut().filter(|_| self.handed) {
            terminal.take();
        }
        self.handed = false;
    }

    /// Stops the command, and takes the terminal: nothing of it runs until [`Stage::go_on`].
    pub(super) fn pause(&mut self) {
        if !std::mem::replace(&mut self.paused, true) {
            if let Some(front) = &self.front {
                front.signal(Signal::STOP);
            }
            self.take();
        }
    }

    /// The command goes on where it was, with the terminal, and draws its screen anew.
    pub(super) fn go_on(&mut self) {
        if std::mem::take(&mut self.paused) {
            self.continued();
            self.resume();
            if let Some(front) = &self.front {
                front.signal(Signal::WINCH);
            }
        }
    }

    /// A line that was typed; see [`Terminal::line`].
    pub(super) fn line(&self) -> Option<String> {
        self.terminal.as_ref().and_then(Terminal::line)
    }

    /// Ends the command (R6, R8): TERM to its group, KILL after the grace to whatever is left of it.
    ///
    /// # Errors
    /// Somebody else waited for it.
    pub(super) fn end(&mut self) -> io::Result<Option<ExitStatus>> {
        let Some(front) = &self.front else {
            return Ok(None);
        };
        front.signal(Signal::TERM);
        front.signal(Signal::CONT);
        let deadline = Instant::now() + GRACE;
        while front.lives() && Instant::now() < deadline {
            self.signals.wait(None, LOOK_AT_ENDING);
            // Read, so that the wait above waits; a second wish to end changes nothing.
            while self.signals.next().is_some() {}
        }
        front.signal(Signal::KILL);
        self.paused = false;
        self.ended().map(Some)
    }

    /// The command ended by itself, or was ended: how. The terminal is ours again.
    ///
    /// # Errors
    /// Somebody else waited for it.
    pub(super) fn ended(&mut self) -> io::Result<ExitStatus> {
        let raw = self.terminal.as_ref().is_some_and(Terminal::is_raw);
        let front = self.front.take().ok_or(io::ErrorKind::NotFound)?;
        let status = front.reap();
        let well = status.as_ref().is_ok_and(|s| s.code().is_some());
        if let Some(terminal) = self.terminal.as_mut().filter(|_| self.handed) {
            terminal.take_as_is();
            if !well {
                // It had no time to say what it would have said.
                if raw && io::stdout().is_terminal() {
                    let mut out = io::stdout();
                    let said = longhaul_acts::files::write_all("cli.say", &mut out, PLAIN_SCREEN);
                    drop(said.and_then(|()| out.flush()));
                }
                terminal.restore();
            }
        }
        self.handed = false;
        status
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.handed
            && let Some(terminal) = &mut self.terminal
        {
            terminal.take();
        }
    }
}
