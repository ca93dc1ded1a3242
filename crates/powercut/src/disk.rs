//! The disk: what of the changes so far is sure to survive a power cut, and what may.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use crate::change::{Change, Entry, FileId, Kind};
use crate::choice::Choice;
use crate::image::{Image, Node};
use crate::tree::ROOT;

/// A disk writes whole sectors of so many bytes.
const SECTOR: usize = 512;

/// What a file system promises about names. File content is treated the same in both: until a file is
/// flushed, any part of its new content may be there, to the sector, in any order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// Names change in order, through one journal (ext4, XFS): after a cut, those up to some moment are
    /// there. Flushing a file or folder also flushes every change of names up to its own last one. Harsher
    /// than ext4 in that a renamed file's content is never flushed by itself.
    Journal,
    /// Each change of a name survives or not, by itself and in any order, until its folder is flushed;
    /// flushing a file does nothing for its name. No common file system is as bad; POSIX allows it.
    Loose,
}

#[derive(Clone, Debug)]
enum Data {
    Write(u64, Arc<[u8]>),
    Cut(u64),
}

#[derive(Clone, Debug)]
struct File {
    kind: Kind,
    mode: u32,
    durable: Arc<Vec<u8>>,
    pending: Vec<Data>,
    /// So many of the pending ones become durable with the next commit of the journal.
    written_out: usize,
}

/// A change of names; a rename sets two entries at once.
#[derive(Clone, Debug)]
struct Naming {
    number: u64,
    sets: Vec<(Entry, Option<FileId>)>,
    file: FileId,
}

type Entries = BTreeMap<OsString, (u64, Option<FileId>)>;

/// A disk after the first so many changes of a recording.
#[derive(Clone, Debug)]
pub struct Disk {
    model: Model,
    files: HashMap<FileId, File>,
    durable: HashMap<FileId, Entries>,
    pending: Vec<Naming>,
    numbers: u64,
    /// On another disk: never lost.
    safe: HashSet<FileId>,
}

impl Disk {
    pub(crate) fn new(model: Model, safe: HashSet<FileId>) -> Self {
        let root = File {
            kind: Kind::Folder,
            mode: 0o700,
            durable: Arc::default(),
            pending: Vec::new(),
            written_out: 0,
        };
        Self {
            model,
            files: HashMap::from([(ROOT, root)]),
            durable: HashMap::new(),
            pending: Vec::new(),
            numbers: 0,
            safe,
        }
    }

    /// How much is not sure to survive: writes and names.
    #[must_use]
    pub fn at_risk(&self) -> usize {
        self.pending.len() + self.files.values().map(|f| f.pending.len()).sum::<usize>()
    }

    /// Takes a change in.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Make {
                file,
                kind,
                mode,
                at,
            } => {
                let made = File {
                    kind: kind.clone(),
                    mode: *mode,
                    durable: Arc::default(),
                    pending: Vec::new(),
                    written_out: 0,
                };
                self.files.insert(*file, made);
                if let Some(at) = at {
                    if self.safe.contains(&at.0) {
                        self.safe.insert(*file);
                    }
                    self.naming(*file, vec![(at.clone(), Some(*file))]);
                }
            }
            Change::Name { file, at } => self.naming(*file, vec![(at.clone(), Some(*file))]),
            Change::Unname { file, at } => self.naming(*file, vec![(at.clone(), None)]),
            Change::Rename { file, from, to } => {
                let sets = vec![(from.clone(), None), (to.clone(), Some(*file))];
                self.naming(*file, sets);
            }
            Change::Write {
                file,
                offset,
                bytes,
            } => self.data(*file, Data::Write(*offset, Arc::clone(bytes))),
            Change::Cut { file, length } => self.data(*file, Data::Cut(*length)),
            Change::Mode { file, mode } => {
                if let Some(file) = self.files.get_mut(file) {
                    file.mode = *mode;
                }
            }
            Change::Flush { file, .. } => self.flush(*file),
            Change::WriteOut { file } => {
                if let Some(file) = self.files.get_mut(file) {
                    file.written_out = file.pending.len();
                }
            }
            Change::FlushAll => self.flush_all(),
            Change::Exec { .. } | Change::End { .. } | Change::Mark(_) => {}
        }
    }

    fn naming(&mut self, file: FileId, sets: Vec<(Entry, Option<FileId>)>) {
        self.numbers += 1;
        let naming = Naming {
            number: self.numbers,
            sets,
            file,
        };
        if self.safe.contains(&file) {
            set(&mut self.durable, &naming);
        } else {
            self.pending.push(naming);
        }
    }

    fn data(&mut self, id: FileId, data: Data) {
        if let Some(file) = self.files.get_mut(&id) {
            file.pending.push(data);
            if self.safe.contains(&id) {
                file.settle(usize::MAX);
            }
        }
    }

    fn flush(&mut self, id: FileId) {
        if let Some(file) = self.files.get_mut(&id) {
            file.settle(usize::MAX);
        }
        match self.model {
            Model::Journal => {
                for file in self.files.values_mut() {
                    file.settle(file.written_out);
                }
                let touches =
                    |n: &Naming| n.file == id || n.sets.iter().any(|((f, _), _)| *f == id);
                let upto = self.pending.iter().rposition(touches).map_or(0, |i| i + 1);
                let sure: Vec<Naming> = self.pending.drain(..upto).collect();
                self.settle(&sure);
            }
            Model::Loose => {
                let in_folder = |n: &Naming| n.sets.iter().any(|((f, _), _)| *f == id);
                let sure: Vec<Naming> = self.pending.extract_if(.., |n| in_folder(n)).collect();
                self.settle(&sure);
            }
        }
    }

    pub(crate) fn flush_all(&mut self) {
        for file in self.files.values_mut() {
            file.settle(usize::MAX);
        }
        let sure = std::mem::take(&mut self.pending);
        self.settle(&sure);
    }

    fn settle(&mut self, sure: &[Naming]) {
        for naming in sure {
            set(&mut self.durable, naming);
        }
    }

    /// The folder as programs see it: nothing is lost.
    #[must_use]
    pub fn whole(&self) -> Image {
        let mut names = self.durable.clone();
        for naming in &self.pending {
            set(&mut names, naming);
        }
        self.image(&names, &mut |file| file.content(file.pending.len()))
    }

    /// The folder as it may be found if the power fails now.
    #[must_use]
    pub fn cut(&self, choice: &mut Choice) -> Image {
        let mut names = self.durable.clone();
        match self.model {
            Model::Journal => {
                let kept = match choice.below(4) {
                    0 => 0,
                    1 => self.pending.len(),
                    _ => choice.below(self.pending.len() + 1),
                };
                for naming in &self.pending[..kept] {
                    set(&mut names, naming);
                }
            }
            Model::Loose => {
                let share = [0, 30, 70, 100][choice.below(4)];
                for naming in &self.pending {
                    if choice.percent(share) {
                        set(&mut names, naming);
                    }
                }
            }
        }
        self.image(&names, &mut |file| file.torn(choice))
    }

    fn image(
        &self,
        names: &HashMap<FileId, Entries>,
        content: &mut dyn FnMut(&File) -> Vec<u8>,
    ) -> Image {
        let mut nodes = BTreeMap::new();
        // Hard links share their content.
        let mut seen: HashMap<FileId, Node> = HashMap::new();
        let mut open = vec![(PathBuf::new(), ROOT)];
        while let Some((path, folder)) = open.pop() {
            for (name, (_, file)) in names.get(&folder).into_iter().flatten() {
                let Some((id, file)) = file.and_then(|id| Some((id, self.files.get(&id)?))) else {
                    continue;
                };
                let path = path.join(name);
                let node = match &file.kind {
                    Kind::Other => continue,
                    Kind::Link(target) => Node::Link(target.clone()),
                    Kind::Folder => {
                        // A folder has one name; two after a torn rename are a loop at worst.
                        if seen.contains_key(&id) {
                            continue;
                        }
                        open.push((path.clone(), id));
                        Node::Folder { mode: file.mode }
                    }
                    Kind::File => match seen.get(&id) {
                        Some(node) => node.clone(),
                        None => Node::File {
                            bytes: if file.pending.is_empty() {
                                Arc::clone(&file.durable)
                            } else {
                                Arc::new(content(file))
                            },
                            mode: file.mode,
                        },
                    },
                };
                seen.insert(id, node.clone());
                nodes.insert(path, node);
            }
        }
        Image { nodes }
    }
}

impl File {
    /// Makes the first so many pending writes durable.
    fn settle(&mut self, count: usize) {
        let count = count.min(self.pending.len());
        if count > 0 {
            let durable = Arc::make_mut(&mut self.durable);
            for data in self.pending.drain(..count) {
                put(durable, &data);
            }
        }
        self.written_out = self.written_out.saturating_sub(count);
    }

    /// The content after the first so many pending writes.
    fn content(&self, count: usize) -> Vec<u8> {
        let mut bytes = self.durable.as_ref().clone();
        for data in &self.pending[..count] {
            put(&mut bytes, data);
        }
        bytes
    }

    /// The content that a cut leaves: none of the pending writes, all, those up to one that is torn, or
    /// any sectors of any.
    fn torn(&self, choice: &mut Choice) -> Vec<u8> {
        let all = self.pending.len();
        match choice.below(5) {
            0 => self.content(0),
            1 => self.content(all),
            2 => {
                let whole = choice.below(all + 1);
                let mut bytes = self.content(whole);
                if let Some(Data::Write(offset, new)) = self.pending.get(whole) {
                    let sectors = new.len().div_ceil(SECTOR);
                    let upto = (choice.below(sectors + 1) * SECTOR).min(new.len());
                    put(&mut bytes, &Data::Write(*offset, new[..upto].into()));
                }
                bytes
            }
            // The length is there and the content is not: zeros.
            3 => {
                let mut bytes = self.content(0);
                bytes.resize(self.content(all).len(), 0);
                bytes
            }
            _ => {
                let share = [20, 50, 80][choice.below(3)];
                let mut bytes = self.content(0);
                for data in &self.pending {
                    match data {
                        Data::Cut(_) if choice.percent(share) => put(&mut bytes, data),
                        Data::Cut(_) => {}
                        Data::Write(offset, new) => {
                            for (offset, sector) in sectors(*offset, new) {
                                if choice.percent(share) {
                                    put(&mut bytes, &Data::Write(offset, sector.into()));
                                }
                            }
                        }
                    }
                }
                bytes
            }
        }
    }
}

/// The parts of a write that lie in different sectors of the file.
fn sectors(offset: u64, bytes: &[u8]) -> Vec<(u64, &[u8])> {
    let mut parts = Vec::new();
    let (mut at, mut rest) = (offset, bytes);
    while !rest.is_empty() {
        let within = usize::try_from(at % SECTOR as u64).unwrap_or(0);
        let (part, more) = rest.split_at((SECTOR - within).min(rest.len()));
        parts.push((at, part));
        at += part.len() as u64;
        rest = more;
    }
    parts
}

fn put(bytes: &mut Vec<u8>, data: &Data) {
    let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    match data {
        Data::Cut(length) => bytes.resize(size(*length), 0),
        Data::Write(offset, new) => {
            let end = size(*offset) + new.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[size(*offset)..end].copy_from_slice(new);
        }
    }
}

/// Later changes of an entry win, in whatever order they become durable.
fn set(names: &mut HashMap<FileId, Entries>, naming: &Naming) {
    for ((folder, name), file) in &naming.sets {
        let entries = names.entry(*folder).or_default();
        match entries.get(name) {
            Some((number, _)) if *number > naming.number => {}
            _ => {
                entries.insert(name.clone(), (naming.number, *file));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: FileId = FileId(1);

    fn at(name: &str) -> Entry {
        (ROOT, name.into())
    }

    fn flush(file: FileId) -> Change {
        Change::Flush {
            file,
            path: PathBuf::new(),
        }
    }

    /// `a.tmp` written, then renamed to `a`; with these flushes after the write and after the rename.
    fn replace(model: Model, after_write: Option<FileId>, after_rename: Option<FileId>) -> Disk {
        let mut disk = Disk::new(model, HashSet::new());
        disk.apply(&Change::Make {
            file: A,
            kind: Kind::File,
            mode: 0o600,
            at: Some(at("a.tmp")),
        });
        disk.apply(&Change::Write {
            file: A,
            offset: 0,
            bytes: vec![7; 1000].into(),
        });
        after_write.map(flush).iter().for_each(|f| disk.apply(f));
        disk.apply(&Change::Rename {
            file: A,
            from: at("a.tmp"),
            to: at("a"),
        });
        after_rename.map(flush).iter().for_each(|f| disk.apply(f));
        disk
    }

    /// All contents of `a` over many cuts.
    fn outcomes(disk: &Disk) -> std::collections::BTreeSet<Option<Vec<u8>>> {
        (0..500)
            .map(|seed| {
                let image = disk.cut(&mut Choice::new(seed));
                image.file("a").map(<[u8]>::to_vec)
            })
            .collect()
    }

    #[test]
    fn without_a_flush_all_may_be_lost_torn_or_empty() {
        for model in [Model::Journal, Model::Loose] {
            let seen = outcomes(&replace(model, None, None));
            assert!(seen.contains(&None));
            assert!(seen.contains(&Some(Vec::new())));
            assert!(seen.contains(&Some(vec![0; 1000])));
            assert!(seen.contains(&Some(vec![7; 512])));
            assert!(seen.contains(&Some(vec![7; 1000])));
        }
    }

    #[test]
    fn flushed_content_is_whole_and_an_unflushed_name_may_be_lost() {
        for model in [Model::Journal, Model::Loose] {
            let seen = outcomes(&replace(model, Some(A), None));
            assert_eq!(seen, [None, Some(vec![7; 1000])].into(), "{model:?}");
        }
    }

    #[test]
    fn a_flushed_folder_keeps_the_name() {
        for model in [Model::Journal, Model::Loose] {
            let seen = outcomes(&replace(model, Some(A), Some(ROOT)));
            assert_eq!(seen, [Some(vec![7; 1000])].into(), "{model:?}");
        }
    }

    #[test]
    fn only_a_journal_keeps_the_name_with_the_file() {
        let seen = outcomes(&replace(Model::Journal, None, Some(A)));
        assert_eq!(seen, [Some(vec![7; 1000])].into());
        let seen = outcomes(&replace(Model::Loose, None, Some(A)));
        assert_eq!(seen, [None, Some(vec![7; 1000])].into());
    }

    #[test]
    fn a_journal_keeps_names_in_order() {
        let mut disk = replace(Model::Journal, Some(A), None);
        let b = FileId(2);
        disk.apply(&Change::Make {
            file: b,
            kind: Kind::File,
            mode: 0o600,
            at: Some(at("b")),
        });
        for seed in 0..200 {
            let image = disk.cut(&mut Choice::new(seed));
            assert!(image.file("b").is_none() || image.file("a").is_some());
        }
        disk.apply(&flush(b));
        assert_eq!(outcomes(&disk), [Some(vec![7; 1000])].into());
    }

    #[test]
    fn nothing_is_lost_without_a_cut() {
        let disk = replace(Model::Loose, None, None);
        assert_eq!(disk.whole().file("a"), Some(&[7; 1000][..]));
        assert_eq!(disk.whole().nodes.len(), 1);
    }
}
