//! What a confined session may write to, kept to tell which refused writes were its sandbox's doing (T25).

use std::path::{Component, Path, PathBuf};

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_core::attempt::RefusedWrite;
use longhaul_hosts::Confinement;
use serde::{Deserialize, Serialize};

/// Where a confined session starts and what it may write to: kept with its bundle, to tell what was
/// outside its sandbox from what failed for another reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bounds {
    workdir: Utf8PathBuf,
    writable: Vec<Utf8PathBuf>,
}

impl Bounds {
    /// Only what is there when it starts: the kernel's rules hold for nothing else.
    pub(crate) fn of(workdir: &Utf8Path, confinement: &Confinement) -> Self {
        let there = confinement.writable.iter().filter(|path| path.exists());
        Self {
            workdir: workdir.to_owned(),
            writable: there.cloned().collect(),
        }
    }

    /// Whether the sandbox can have refused this write. It did not where the path is plainly one that the
    /// session may write to: such as a script of the workspace that is not executable. A relative path of
    /// which the workspace knows nothing may be meant from another folder, and is believed.
    pub(crate) fn may_explain(&self, refused: &RefusedWrite) -> bool {
        let Some(path) = refused.path.as_deref().filter(|p| !p.starts_with('~')) else {
            return true;
        };
        let full = self.workdir.as_std_path().join(path);
        if !Path::new(path).is_absolute() && full.symlink_metadata().is_err() {
            return true;
        }
        let Some(full) = resolved(&full) else {
            return true;
        };
        !self.writable.iter().any(|folder| {
            full.starts_with(folder)
                || folder
                    .canonicalize()
                    .is_ok_and(|folder| full.starts_with(folder))
        })
    }
}

/// A path without symbolic links, as far as it is there; `None` if what is not there goes upwards.
fn resolved(path: &Path) -> Option<PathBuf> {
    for above in path.ancestors() {
        if let Ok(there) = above.canonicalize() {
            let rest = path.strip_prefix(above).ok()?;
            let down = rest.components().all(|c| matches!(c, Component::Normal(_)));
            return down.then(|| there.join(rest));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t25_what_the_session_may_write_to_was_not_refused_by_the_sandbox() {
        let temp = tempfile::tempdir().unwrap();
        let top = Utf8PathBuf::from_path_buf(temp.path().canonicalize().unwrap()).unwrap();
        for folder in ["work/sub", "elsewhere"] {
            std::fs::create_dir_all(top.join(folder)).unwrap();
        }
        std::fs::write(top.join("work/run.sh"), "").unwrap();
        std::os::unix::fs::symlink(top.join("elsewhere"), top.join("work/link")).unwrap();
        let confinement = Confinement {
            writable: vec![top.join("work"), top.join("missing")],
            readable: vec![],
            closed: vec![],
        };
        let bounds = Bounds::of(&top.join("work"), &confinement);
        let explains = |path: Option<&str>| {
            bounds.may_explain(&RefusedWrite {
                tool: "run".into(),
                line: "x".into(),
                path: path.map(str::to_owned),
            })
        };
        let inside = top.join("work/sub/new");
        for path in ["run.sh", "./run.sh", "sub/../run.sh", inside.as_str()] {
            assert!(!explains(Some(path)), "{path}");
        }
        let (beside, missing) = (top.join("elsewhere/x"), top.join("missing/x"));
        for path in [
            "../elsewhere",
            "link/..",
            "link",
            "from-another-folder",
            "~/x",
            "/etc/hosts",
            beside.as_str(),
            // It was not there when the session began, so nothing was granted.
            missing.as_str(),
        ] {
            assert!(explains(Some(path)), "{path}");
        }
        assert!(explains(None));
    }
}
