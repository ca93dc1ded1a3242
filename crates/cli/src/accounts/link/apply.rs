//! Carries a plan out, step by step. Each step can be done again: after a crash the next `look` finds what is left.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_acts::files;

use super::adopt::{Preview, merge};
use super::plan::{Plan, Step};
use crate::failure::{Failure, OnPath as _};

impl Plan {
    /// What its adoptions would copy, folder by folder.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub(crate) fn preview(&self) -> io::Result<Vec<(Utf8PathBuf, Preview)>> {
        let pairs = self.steps.iter().filter_map(|step| match step {
            Step::Adopt { folder, target, .. } => Some((folder.clone(), target.clone())),
            Step::MakeLink {
                target,
                kept: Some(kept),
                ..
            } if kept.exists() => Some((kept.clone(), target.clone())),
            Step::MakeTarget { .. } | Step::MakeLink { .. } => None,
        });
        let pairs: Vec<_> = pairs.collect();
        let seen = super::adopt::preview(&pairs)?;
        Ok(pairs
            .into_iter()
            .map(|(folder, _)| folder)
            .zip(seen)
            .collect())
    }
}

/// Does what a plan without problems says.
///
/// # Errors
/// At the first step that cannot be done; what was done stays, and doing it again goes on.
pub(crate) fn apply(plan: &Plan) -> Result<(), Failure> {
    for step in &plan.steps {
        match step {
            Step::MakeTarget { target } => {
                let mut builder = DirBuilder::new();
                builder.recursive(true).mode(0o700);
                files::build_dir("cli.link.target", &builder, target).on("make", target)?;
            }
            Step::Adopt {
                folder,
                kept,
                target,
                ..
            } => {
                merge(folder, target).on("copy", folder)?;
                files::rename("cli.link.keep", folder, kept).on("rename", folder)?;
                entries(folder).on("flush", folder)?;
            }
            Step::MakeLink { link, target, kept } => {
                if let Some(kept) = kept {
                    merge(kept, target).on("copy", kept)?;
                }
                make_link(link, target).on("make the link", link)?;
            }
        }
    }
    Ok(())
}

fn make_link(link: &Utf8Path, target: &Utf8Path) -> io::Result<()> {
    match files::symlink("cli.link.link", target, link) {
        // The daemon and a command may do this at the same time.
        Err(error)
            if error.kind() == io::ErrorKind::AlreadyExists
                && link.read_link_utf8().is_ok_and(|led| led == *target) =>
        {
            Ok(())
        }
        Err(error) => Err(error),
        Ok(()) => entries(link),
    }
}

/// Makes durable what a folder's entries are now.
fn entries(path: &Utf8Path) -> io::Result<()> {
    files::sync_dir("cli.link.home", path.parent().unwrap_or(path))
}
