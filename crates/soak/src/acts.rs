//! What sessions do: each act is a task for the `script` harness, and how it may end.

use longhaul_core::task::NeedKind;

use crate::rng::Rng;

/// One way to behave.
#[derive(Debug)]
pub(crate) struct Act {
    /// First part of its tasks' names.
    pub(crate) word: &'static str,
    /// How often it is taken, among all weights.
    weight: u64,
    /// Keys of the task beside name and prompt.
    keys: &'static str,
    /// The script.
    script: &'static str,
    /// Checks, as TOML.
    checks: &'static str,
    /// Needs that are a rightful end of it. Without any it must become done.
    pub(crate) needs: &'static [NeedKind],
}

/// Work that ends well: what follows a script whose last section is its first attempt.
const WELL: &str = "@attempt 2..\nwrite late.txt late\ndone\n";

const PASSES: &str = "[[task.check]]\nname = \"passes\"\nrun = \"true\"\ntimeout = \"60s\"\n";

/// All acts. Deadlines of work that should end well are generous: the machine may be busy.
pub(crate) const ACTS: [Act; 20] = [
    act(
        "works",
        8,
        "",
        "say on my way\nwrite a.txt a\nsleep 400ms\nrun git add -A && git commit -qm mine\nwrite b.txt b\ndone\n",
        PASSES,
    ),
    act(
        "thinks",
        4,
        "",
        "say hm\nsleep 6s\nwrite a.txt a\nusage input=1000 output=100 cost=0.01\ndone\n",
        PASSES,
    ),
    act(
        "crashes",
        3,
        "",
        "say a\nwrite half.txt half\n@attempt 1\ncrash\n",
        PASSES,
    ),
    act(
        "always-crashes",
        1,
        "max_restarts = 2\n",
        "say a\ncrash\n",
        "",
    )
    .ends(&[NeedKind::RestartsExhausted]),
    act(
        "hangs",
        3,
        "idle_timeout = \"2s\"\n",
        "say a\n@attempt 1\nhang\n",
        PASSES,
    ),
    act(
        "never-ends",
        2,
        "",
        "say a\n@attempt 1\nsleep 3000s\n",
        PASSES,
    ),
    act("floods", 1, "", "flood 10M\nwrite a.txt a\ndone\n", PASSES),
    act(
        "stubborn",
        2,
        "",
        "say a\n@attempt 1\nignore-term\nspawn trap '' TERM; sleep 3001\nsleep 3000s\n",
        PASSES,
    ),
    act(
        "forks",
        3,
        "",
        "spawn sleep 3002\nspawn (sleep 3003 &) ; sleep 3004\nwrite a.txt a\ndone\n",
        PASSES,
    ),
    act("torn", 2, "", "say a\n@attempt 1\ndie-midline\n", PASSES),
    act("odd-code", 2, "", "say a\n@attempt 1\nexit 41\n", PASSES),
    act(
        "quota",
        1,
        "",
        "say a\n@attempt 1\nlimit quota in 2s\n",
        PASSES,
    ),
    act(
        "throttled",
        1,
        "",
        "say a\n@attempt 1\nlimit throttle in 1s\n",
        PASSES,
    ),
    act(
        "fails",
        2,
        "",
        "say a\n@attempt 1\nfail I could not\n",
        PASSES,
    ),
    act(
        "fails-check",
        3,
        "",
        "append n.txt x\ndone\n",
        "[[task.check]]\nname = \"twice\"\nrun = \"test $(wc -l < n.txt) -ge 2\"\n",
    ),
    act(
        "never-passes",
        2,
        "max_retries = 1\n",
        "append n.txt x\ndone\n",
        "[[task.check]]\nname = \"no\"\nrun = \"yes no | head -c 3000000; false\"\n",
    )
    .ends(&[NeedKind::RetriesExhausted]),
    act(
        "slow-check",
        2,
        "max_retries = 1\n",
        "append n.txt x\ndone\n",
        "[[task.check]]\nname = \"slow\"\nrun = \"sleep 3005 & sleep 3006\"\ntimeout = \"2s\"\n",
    )
    .ends(&[NeedKind::RetriesExhausted]),
    act("asks", 1, "answer_timeout = \"1s\"\n", "ask may I?\n", "").ends(&[NeedKind::Question]),
    act(
        "bad-setup",
        1,
        "setup = \"echo no; exit 3\"\n",
        "write a.txt a\ndone\n",
        "",
    )
    .ends(&[NeedKind::SetupFailed]),
    act(
        "set-up",
        2,
        "setup = \"sleep 1; echo ready > ready.txt\"\n",
        "run cat ready.txt\nwrite a.txt a\ndone\n",
        PASSES,
    )
    // A set-up that is killed is a set-up that failed.
    .ends(&[NeedKind::SetupFailed]),
];

const fn act(
    word: &'static str,
    weight: u64,
    keys: &'static str,
    script: &'static str,
    checks: &'static str,
) -> Act {
    Act {
        word,
        weight,
        keys,
        script,
        checks,
        needs: &[],
    }
}

impl Act {
    const fn ends(mut self, needs: &'static [NeedKind]) -> Self {
        self.needs = needs;
        self
    }

    /// One of them, by weight.
    pub(crate) fn any(rng: &mut Rng) -> &'static Self {
        let all: u64 = ACTS.iter().map(|a| a.weight).sum();
        let mut at = rng.below(all);
        for act in &ACTS {
            if at < act.weight {
                return act;
            }
            at -= act.weight;
        }
        &ACTS[0]
    }

    /// The act of a task's name.
    pub(crate) fn of(name: &str) -> Option<&'static Self> {
        let (word, _) = name.rsplit_once('-')?;
        ACTS.iter().find(|act| act.word == word)
    }

    /// A task of it.
    pub(crate) fn task(&self, number: u64, repo: &str) -> String {
        let or = |key: &str, line: &str| {
            if self.keys.contains(key) {
                String::new()
            } else {
                format!("{line}\n")
            }
        };
        // Deaths from outside are free: only `max_restarts` bounds them, and here it must not.
        let limits = [
            or("max_restarts", "max_restarts = 1000"),
            or("max_retries", "max_retries = 100"),
            or("idle_timeout", "idle_timeout = \"90s\""),
            if matches!(self.word, "never-ends" | "stubborn") {
                "timeout = \"3s\"\n".to_owned()
            } else {
                "timeout = \"90s\"\n".to_owned()
            },
        ]
        .concat();
        let well = if self.script.contains("@attempt 1") {
            WELL
        } else {
            ""
        };
        format!(
            "[[task]]\nname = \"{}-{number}\"\nharness = \"script\"\nrepo = \"{repo}\"\n{}{limits}prompt = '''\nrun echo $LONGHAUL_SESSION >> starts.txt\n{}{well}'''\n{}\n",
            self.word, self.keys, self.script, self.checks
        )
    }
}
