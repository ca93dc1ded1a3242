//! A git folder of our own that borrows the user's objects and keeps what prediction writes. It has no
//! config of the repository, so nothing that a session writes there is obeyed, and no process is spent
//! on reading it.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use longhaul_acts::files;

use crate::disk;
use crate::fsx;
use crate::git::{Call, ConfigList, Git, GitError, overrides};
use crate::merge::{Fields, Merged};
use crate::oid::Oid;
use crate::path::RepoPath;

use super::touch::{Kind, Touched};

/// What is written is thrown away: it needs neither the disk's word nor space.
const LIGHT: [(&str, &str); 2] = [("core.fsync", "none"), ("core.looseCompression", "0")];
/// The most of a file that is read for a preview, in bytes.
const PREVIEW_LIMIT: usize = 16 << 20;

/// The quarantine of one base branch.
#[derive(Clone, Debug)]
pub(super) struct Quarantine {
    git: Git,
    folder: PathBuf,
    /// The repository whose objects are read.
    common_dir: PathBuf,
    settings: Vec<(OsString, OsString)>,
}

impl Quarantine {
    pub(super) fn new(git: &Git, folder: PathBuf, common_dir: &Path) -> Self {
        let mut settings = overrides(&ConfigList::default(), false, || true);
        let count = settings.len() / 2;
        settings[0].1 = (count + LIGHT.len()).to_string().into();
        for (n, (key, value)) in LIGHT.iter().enumerate() {
            let n = count + n;
            settings.push((format!("GIT_CONFIG_KEY_{n}").into(), key.into()));
            settings.push((format!("GIT_CONFIG_VALUE_{n}").into(), value.into()));
        }
        Self {
            git: git.clone(),
            folder,
            common_dir: common_dir.to_owned(),
            settings,
        }
    }

    /// Takes it away; what cannot be removed is only told.
    pub(super) fn remove(&self) {
        if let Err(error) = disk::remove_tree(&self.folder) {
            tracing::warn!(folder = %self.folder.display(), %error, "merges that are not needed stay");
        }
    }

    /// Makes it empty.
    pub(super) fn make(&self, id_length: usize) -> Result<(), GitError> {
        disk::remove_tree(&self.folder).map_err(GitError::file("remove", &self.folder))?;
        for part in ["objects/info", "objects/pack", "refs", "info"] {
            fsx::make_private_folder(&self.folder.join(part))?;
        }
        let format = if id_length == 64 {
            "\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectFormat = sha256\n"
        } else {
            "\trepositoryformatversion = 0\n\tbare = true\n"
        };
        let mut alternate = self
            .common_dir
            .join("objects")
            .into_os_string()
            .into_encoded_bytes();
        // git reads a quoted path where it starts with a quote or holds a newline.
        if alternate.contains(&b'\n') || alternate.starts_with(b"\"") {
            alternate = quoted(&alternate);
        }
        alternate.push(b'\n');
        self.write("config", format!("[core]\n{format}").as_bytes())?;
        self.write("HEAD", b"ref: refs/heads/none\n")?;
        self.write("objects/info/alternates", &alternate)?;
        for own in ["shallow", "info/attributes"] {
            let from = self.common_dir.join(own);
            let limit = 16 << 20;
            let bytes = fsx::read_small(&from, limit).map_err(GitError::file("read", &from))?;
            if let Some(bytes) = bytes {
                self.write(own, &bytes)?;
            }
        }
        Ok(())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), GitError> {
        let path = self.folder.join(name);
        files::write("vcs.predict.write", &path, bytes).map_err(GitError::file("write", &path))
    }

    fn call(&self) -> Call<'_> {
        let call = Call::new(&self.git, Path::new("/")).env("GIT_DIR", &self.folder);
        self.settings
            .iter()
            .fold(call, |call, (key, value)| call.env(key, value))
    }

    /// Results of lines of `merge-tree --stdin`; `None` where git could not merge at all.
    pub(super) fn merge(
        &self,
        attributes: &Oid,
        lines: &[String],
    ) -> Result<Vec<Option<Merged>>, GitError> {
        let mut results = Vec::with_capacity(lines.len());
        while results.len() < lines.len() {
            let output = self
                .call()
                .env("GIT_ATTR_SOURCE", attributes.as_str())
                .args(["merge-tree", "--write-tree", "--stdin"])
                .stdin(lines[results.len()..].concat())
                .output()?;
            let before = results.len();
            let mut fields = Fields(&output.stdout);
            while let Some(status) = fields.next() {
                let clean = status == b"1";
                let Some(merged) = fields.merged_in_batch(clean) else {
                    break;
                };
                results.push(Some(merged));
            }
            if results.len() == lines.len() && output.code == Some(0) {
                break;
            }
            if output.code == Some(0) || results.len() >= lines.len() {
                return Err(output.malformed("a result for each line"));
            }
            // git dies at a line that it cannot merge: that one has no result, the rest goes on. If
            // the attributes' source is missing, no line is to blame.
            if before == 0 && results.is_empty() {
                let there = self
                    .call()
                    .args(["cat-file", "-e", &format!("{attributes}^{{tree}}")])
                    .output()?;
                if there.code != Some(0) {
                    return Err(output.failure());
                }
            }
            results.push(None);
        }
        Ok(results)
    }

    /// What each of these trees changes in `base`.
    pub(super) fn touched(&self, base: &Oid, trees: &[&Oid]) -> Result<Vec<Touched>, GitError> {
        if trees.is_empty() {
            return Ok(Vec::new());
        }
        let lines: String = trees
            .iter()
            .map(|tree| format!("{base} {tree}\n"))
            .collect();
        let output = self
            .call()
            .args([
                "diff-tree",
                "--stdin",
                "-r",
                "-z",
                "--name-status",
                "--no-renames",
            ])
            .stdin(lines)
            .ok()?;
        let mut all = Vec::with_capacity(trees.len());
        let mut rest = output.stdout.as_slice();
        for tree in trees {
            let header = format!("{base} {tree}\n");
            let wrong = || output.malformed("the changes of each pair of trees");
            rest = rest.strip_prefix(header.as_bytes()).ok_or_else(wrong)?;
            let mut touched = Touched::default();
            // A status is one capital letter; the next header starts with a digit or small letter.
            while rest.first().is_some_and(u8::is_ascii_uppercase) {
                let mut fields = Fields(rest);
                let (status, path) = (fields.next(), fields.next());
                let (Some(status), Some(path)) = (status, path) else {
                    return Err(wrong());
                };
                let kind = match status {
                    b"A" => Kind::Added,
                    b"D" => Kind::Deleted,
                    _ => Kind::Changed,
                };
                touched.note(kind, path);
                rest = fields.0;
            }
            all.push(touched);
        }
        Ok(all)
    }

    /// A commit without parents for each tree.
    pub(super) fn commits(&self, trees: &BTreeSet<&Oid>) -> Result<HashMap<Oid, Oid>, GitError> {
        let folder = self.folder.join("commits");
        fsx::make_private_folder(&folder)?;
        let mut list = Vec::new();
        for tree in trees {
            let text = format!(
                "tree {tree}\nauthor Longhaul <longhaul@localhost> 0 +0000\n\
                 committer Longhaul <longhaul@localhost> 0 +0000\n\npredicted\n"
            );
            self.write(&format!("commits/{tree}"), text.as_bytes())?;
            list.extend_from_slice(format!("{tree}\n").as_bytes());
        }
        let output = self
            .call()
            .current_dir(&folder)
            .args([
                "hash-object",
                "-t",
                "commit",
                "-w",
                "--no-filters",
                "--stdin-paths",
            ])
            .stdin(list)
            .ok()?;
        let ids = output
            .stdout
            .split(|b| *b == b'\n')
            .filter(|l| !l.is_empty());
        let ids: Result<Vec<Oid>, _> = ids.map(Oid::parse).collect();
        let ids = ids.map_err(|_| output.malformed("ids of commits"))?;
        Ok(trees.iter().map(|t| (*t).clone()).zip(ids).collect())
    }

    /// The files with conflicts of a merge, by path; those that are too large are left out.
    pub(super) fn blobs(&self, merged: &Merged) -> Result<Vec<(RepoPath, Vec<u8>)>, GitError> {
        let text = merged
            .conflicts
            .iter()
            .filter(|c| c.stages & 6 == 6 && !c.place.as_bytes().contains(&b'\n'));
        let text: Vec<_> = text.collect();
        let mut asked = Vec::new();
        for conflict in &text {
            asked.extend_from_slice(format!("{}:", merged.tree).as_bytes());
            asked.extend_from_slice(conflict.place.as_bytes());
            asked.push(b'\n');
        }
        let output = self
            .call()
            .args(["cat-file", "--batch"])
            .stdin(asked)
            .cut_at(PREVIEW_LIMIT)
            .ok()?;
        let mut rest = output.stdout.as_slice();
        let mut blobs = Vec::new();
        for conflict in text {
            let Some(end) = rest.iter().position(|b| *b == b'\n') else {
                break;
            };
            let (header, after) = (&rest[..end], &rest[end + 1..]);
            let size = header.rsplit(|b| *b == b' ').next().unwrap_or_default();
            let size = std::str::from_utf8(size)
                .ok()
                .and_then(|s| s.parse::<usize>().ok());
            let Some(size) = size.filter(|_| !header.ends_with(b" missing")) else {
                rest = after;
                continue;
            };
            let Some(content) = after.get(..size) else {
                break;
            };
            if !content.contains(&0) {
                blobs.push((conflict.path.clone(), content.to_vec()));
            }
            rest = after.get(size + 1..).unwrap_or_default();
        }
        Ok(blobs)
    }
}

/// A path as git quotes it in C style.
fn quoted(path: &[u8]) -> Vec<u8> {
    let mut out = vec![b'"'];
    for byte in path {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            _ => out.push(*byte),
        }
    }
    out.push(b'"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_alternates_are_quoted() {
        assert_eq!(quoted(b"a \"b\"\nc\\"), b"\"a \\\"b\\\"\\nc\\\\\"");
    }
}
