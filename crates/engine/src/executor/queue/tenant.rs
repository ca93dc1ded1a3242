//! Who has a line's slot: one check at a time (L9).

use longhaul_core::ids::SpawnKey;
use longhaul_core::queue::outstanding;

use super::super::files::write_whole;
use super::super::{Desk, seal};
use super::{Fault, folder};
use crate::machine::LineDispatch;

/// Takes the slot for a run that is about to start in it. Whoever had it before has ended then, also one that
/// was started again by an effect which had come to its result already.
pub(super) fn take(desk: &Desk, d: &LineDispatch, stem: &str, key: &SpawnKey) -> Result<(), Fault> {
    let stored = desk.read(|r| r.line(&d.effect.line));
    let stored =
        stored.map_err(|error| Fault::unsettled(&format!("the line cannot be read: {error}")))?;
    // The store is ahead of every effect: what it no longer asks for is not started (I4).
    if stored.as_ref().and_then(outstanding).as_ref() != Some(&d.effect) {
        return Err(Fault::unsettled("it is about something else by now"));
    }
    let note = folder(desk, d).join("tenant");
    let before = match std::fs::read_to_string(&note) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(Fault::unsettled(&format!("cannot read {note}: {error}"))),
    };
    // Half a name, after a power cut, names nobody: nothing of that boot runs any more.
    if let Some(before) = before.filter(|b| b.starts_with(stem) && b != key.as_str()) {
        seal::end_leftovers(desk, &SpawnKey::raw(before)).map_err(|why| Fault::unsettled(&why))?;
    }
    write_whole(&note, key.as_str().as_bytes())
        .map_err(|error| Fault::unsettled(&format!("cannot write {note}: {error}")))
}
