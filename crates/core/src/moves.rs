//! The switch of a home (accounts.md A23): which sessions move, in which order, with which conversation. A plan:
//! whoever carries it out records each move before it, stops and starts, and records it after.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Whose a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// A person's (I11): never stopped, never given work.
    Dedicated,
    /// It takes work.
    Pool,
}

/// What a session is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doing {
    /// Its agent lives.
    Agent,
    /// Its agent has exited; a shell is left.
    Shell,
    /// Nobody can tell (I6).
    Unknown,
}

/// A session as it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub owner: Owner,
    /// The account that it uses.
    pub account: String,
    /// What it is doing.
    pub doing: Doing,
    /// What its transcript or status names as its conversation, as it was read.
    pub conversation: Option<String>,
    /// Its owner said `move = true`: it may be moved though its agent lives.
    pub may_move: bool,
}

/// What becomes of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// Its agent is stopped if it lives, and started on the other home with this conversation.
    Move {
        /// To resume; `None` = a pool session without one starts anew.
        conversation: Option<String>,
        /// Its agent lives and is stopped first (I8).
        stop: bool,
    },
    /// It stays, its conversation is saved, its owner is told why.
    Leave {
        /// Saved for the owner.
        conversation: Option<String>,
        /// Why.
        why: Left,
    },
}

/// Why a session stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Left {
    /// A person works in it.
    InUse,
    /// What names its conversation is no id: nothing may be resumed by it.
    CorruptId,
    /// It has no conversation yet.
    NoId,
    /// Nobody can tell whether its agent lives (I6).
    Unknown,
}

impl Left {
    /// For its owner.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::InUse => "you work in it; its conversation is saved",
            Self::CorruptId => "what names its conversation is no conversation id",
            Self::NoId => "it has no conversation yet",
            Self::Unknown => "nobody can tell whether its agent lives",
        }
    }
}

/// A session with what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// The session's name.
    pub name: String,
    /// What becomes of it.
    pub step: Step,
}

/// The id in a text that is to name a conversation: a UUID and nothing else, in its plain form. Anything else could
/// be a flag or a path of somebody's choice.
#[must_use]
pub fn conversation_id(text: &str) -> Option<String> {
    let id = Uuid::try_parse(text).ok()?;
    let plain = id.hyphenated().to_string();
    (!id.is_nil() && plain.eq_ignore_ascii_case(text)).then_some(plain)
}

/// The plan: sessions of other accounts are not in it. Dedicated ones come first, so that their conversations are
/// saved before anything is stopped; then by name.
#[must_use]
pub fn plan(found: &[Found], limited: &str) -> Vec<Move> {
    let mut moved: Vec<&Found> = found.iter().filter(|f| f.account == limited).collect();
    moved.sort_by(|a, b| (a.owner as u8, &a.name).cmp(&(b.owner as u8, &b.name)));
    let moved = moved.into_iter();
    moved
        .map(|f| Move {
            name: f.name.clone(),
            step: step(f),
        })
        .collect()
}

fn step(f: &Found) -> Step {
    let conversation = f.conversation.as_deref().and_then(conversation_id);
    let corrupt = f.conversation.is_some() && conversation.is_none();
    let leave = |why| Step::Leave {
        conversation: conversation.clone(),
        why,
    };
    match (f.owner, f.doing) {
        (_, Doing::Unknown) => leave(Left::Unknown),
        _ if corrupt => leave(Left::CorruptId),
        (Owner::Dedicated, Doing::Agent) if !f.may_move => leave(Left::InUse),
        (Owner::Dedicated, _) if conversation.is_none() => leave(Left::NoId),
        (_, doing) => Step::Move {
            conversation: conversation.clone(),
            stop: doing == Doing::Agent,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

    fn found(name: &str, owner: Owner, doing: Doing) -> Found {
        Found {
            name: name.to_owned(),
            owner,
            account: "a".to_owned(),
            doing,
            conversation: Some(ID.to_owned()),
            may_move: false,
        }
    }

    fn one(f: Found) -> Step {
        plan(&[f], "a").remove(0).step
    }

    #[test]
    fn a23_only_sessions_of_the_limited_account_move_and_dedicated_ones_are_saved_first() {
        let other = Found {
            account: "b".to_owned(),
            ..found("p2", Owner::Pool, Doing::Agent)
        };
        let all = [
            found("p1", Owner::Pool, Doing::Agent),
            other,
            found("z", Owner::Dedicated, Doing::Shell),
            found("p0", Owner::Pool, Doing::Shell),
        ];
        let plan = plan(&all, "a");
        let names: Vec<&str> = plan.iter().map(|m| m.name.as_str()).collect();
        assert_eq!(names, ["z", "p0", "p1"]);
    }

    #[test]
    fn a23_a_dedicated_session_is_left_unless_its_agent_has_gone_or_its_owner_said_so() {
        let conversation = Some(ID.to_owned());
        let left = |why| Step::Leave {
            conversation: conversation.clone(),
            why,
        };
        let go = |stop| Step::Move {
            conversation: conversation.clone(),
            stop,
        };
        let used = found("d", Owner::Dedicated, Doing::Agent);
        assert_eq!(one(used.clone()), left(Left::InUse));
        let may = Found {
            may_move: true,
            ..used
        };
        assert_eq!(one(may), go(true));
        assert_eq!(one(found("d", Owner::Dedicated, Doing::Shell)), go(false));
        let none = Found {
            conversation: None,
            ..found("d", Owner::Dedicated, Doing::Shell)
        };
        let no_id = Step::Leave {
            conversation: None,
            why: Left::NoId,
        };
        assert_eq!(one(none), no_id);
    }

    #[test]
    fn i6_what_nobody_knows_is_not_stopped() {
        for owner in [Owner::Dedicated, Owner::Pool] {
            let step = one(found("x", owner, Doing::Unknown));
            assert!(matches!(
                step,
                Step::Leave {
                    why: Left::Unknown,
                    ..
                }
            ));
        }
    }

    #[test]
    fn d10_a_corrupt_conversation_id_is_refused() {
        for bad in [
            "",
            "latest",
            "--dangerously-skip-permissions",
            "../../etc/passwd",
            "0f8fad5b-d9cb-469f-a165-70867728950",
            "0f8fad5bd9cb469fa16570867728950e",
            "{0f8fad5b-d9cb-469f-a165-70867728950e}",
            "0f8fad5b-d9cb-469f-a165-70867728950e\n",
            "00000000-0000-0000-0000-000000000000",
        ] {
            assert_eq!(conversation_id(bad), None, "{bad:?}");
            let corrupt = Found {
                conversation: Some(bad.to_owned()),
                ..found("p", Owner::Pool, Doing::Agent)
            };
            let refused = Step::Leave {
                conversation: None,
                why: Left::CorruptId,
            };
            assert_eq!(one(corrupt), refused, "{bad:?}");
        }
        assert_eq!(
            conversation_id(&ID.to_uppercase()).as_deref(),
            Some(ID),
            "the same id in capitals"
        );
    }
}
