//! Reports on disk until they are acknowledged: append-only JSON lines in numbered segments. A report is in the
//! kernel before the bytes it is about reach the client, so a killed gateway loses none; a power cut may cost the
//! last second.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use longhaul_acts::files;
use longhaul_core::time::UnixMs;

use crate::api::{Report, ReportBody, ReportsPage, SpoolView};

/// How much is kept.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// A segment is closed at this size.
    segment_bytes: u64,
    /// Segments that are kept; with more, the oldest is dropped and that is reported (I16).
    segments: usize,
}

const BOUNDS: Bounds = Bounds {
    segment_bytes: 1 << 20,
    segments: 64,
};
/// Reports in one page.
const PAGE: usize = 1000;

/// The reports that wait.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    bounds: Bounds,
    /// First number and path of each segment; the last one is written to.
    segments: BTreeMap<u64, PathBuf>,
    file: File,
    written: u64,
    last: u64,
    acknowledged: u64,
    unflushed: bool,
}

impl Spool {
    /// Opens the spool in this folder, or makes it. A line that was not written to its end is cut off.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        Self::bounded(folder, BOUNDS)
    }

    fn bounded(folder: &Path, bounds: Bounds) -> io::Result<Self> {
        let mut segments = BTreeMap::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("");
            if let Some(first) = name.strip_suffix(".jsonl").and_then(|n| n.parse().ok()) {
                segments.insert(first, path);
            }
        }
        let first = segments.keys().next().copied().unwrap_or(1);
        if segments.is_empty() {
            segments.insert(1, segment(folder, 1));
        }
        let (begin, path) = segments
            .last_key_value()
            .map(|(n, path)| (*n, path.clone()))
            .ok_or(io::ErrorKind::NotFound)?;
        let file = append(&path)?;
        let (good, lines) = whole_lines(&path)?;
        if file.metadata()?.len() > good {
            cut(&file, good)?;
        }
        Ok(Self {
            folder: folder.to_owned(),
            bounds,
            segments,
            file,
            written: good,
            last: begin + lines - 1,
            acknowledged: first - 1,
            unflushed: false,
        })
    }

    /// Numbers the reports and writes them.
    pub(super) fn append(&mut self, at: UnixMs, bodies: Vec<ReportBody>) -> io::Result<()> {
        let mut text = Vec::new();
        let mut last = self.last;
        for body in bodies {
            last += 1;
            let report = Report {
                seq: last,
                at,
                body,
            };
            serde_json::to_writer(&mut text, &report)?;
            text.push(b'\n');
        }
        if let Err(error) = files::write_all("gateway.spool.write", &mut self.file, &text) {
            // What of it was written would be half a line before the next report.
            cut(&self.file, self.written)?;
            return Err(error);
        }
        self.last = last;
        self.written += text.len() as u64;
        self.unflushed = true;
        if self.written >= self.bounds.segment_bytes {
            self.next_segment()?;
            if self.segments.len() > self.bounds.segments {
                return self.drop_oldest(at);
            }
        }
        Ok(())
    }

    fn next_segment(&mut self) -> io::Result<()> {
        let first = self.last + 1;
        let path = segment(&self.folder, first);
        self.file = append(&path)?;
        self.segments.insert(first, path);
        self.written = 0;
        Ok(())
    }

    fn drop_oldest(&mut self, at: UnixMs) -> io::Result<()> {
        let Some((first, path)) = self.segments.pop_first() else {
            return Ok(());
        };
        files::remove_file("gateway.spool.drop", &path)?;
        let next = self.segments.keys().next().copied().unwrap_or(first);
        let count = (next - 1).saturating_sub(self.acknowledged.max(first - 1));
        self.acknowledged = self.acknowledged.max(next - 1);
        self.append(at, vec![ReportBody::Dropped { count }])
    }

    /// Reports after this number, oldest first.
    pub(super) fn read(&self, after: u64) -> io::Result<ReportsPage> {
        let mut page = ReportsPage::default();
        let start = self.segments.range(..=after + 1).next_back();
        let start = start.map_or(0, |(first, _)| *first);
        for path in self.segments.range(start..).map(|(_, path)| path) {
            for line in BufReader::new(File::open(path)?).lines() {
                // A line that is no report was damaged on the disk; the others are still good.
                let Ok(report) = serde_json::from_str::<Report>(&line?) else {
                    continue;
                };
                if report.seq <= after {
                    continue;
                }
                if page.reports.len() == PAGE {
                    page.more = true;
                    return Ok(page);
                }
                page.reports.push(report);
            }
        }
        Ok(page)
    }

    /// Forgets segments of which every report is acknowledged.
    pub(super) fn acknowledge(&mut self, through: u64) -> io::Result<()> {
        let through = through.min(self.last);
        self.acknowledged = self.acknowledged.max(through);
        if through == self.last && self.written > self.bounds.segment_bytes / 16 {
            self.next_segment()?;
        }
        while let Some(next) = self.segments.keys().nth(1).copied()
            && next <= self.acknowledged + 1
            && let Some((_, path)) = self.segments.pop_first()
        {
            files::remove_file("gateway.spool.forget", &path)?;
        }
        Ok(())
    }

    /// A handle to flush, if something was written since the last call.
    pub(super) fn unflushed_file(&mut self) -> Option<File> {
        if std::mem::take(&mut self.unflushed) {
            self.file.try_clone().ok()
        } else {
            None
        }
    }

    pub(super) fn view(&self) -> SpoolView {
        SpoolView {
            last: self.last,
            acknowledged: self.acknowledged,
        }
    }
}

fn segment(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.jsonl"))
}

/// Takes away what is no whole line.
fn cut(file: &File, good: u64) -> io::Result<()> {
    files::set_len("gateway.spool.mend", file, good)
}

fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).read(true).mode(0o600);
    files::open("gateway.spool.open", &options, path)
}

/// Bytes up to the end of the last whole line, and how many lines that is.
fn whole_lines(path: &Path) -> io::Result<(u64, u64)> {
    let mut reader = BufReader::new(File::open(path)?);
    let (mut bytes, mut lines) = (0, 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        let n = reader.read_until(b'\n', &mut line)?;
        if n == 0 || line.last() != Some(&b'\n') {
            return Ok((bytes, lines));
        }
        bytes += n as u64;
        lines += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(n: u64) -> ReportBody {
        ReportBody::Dropped { count: n }
    }

    fn seqs(spool: &Spool, after: u64) -> Vec<u64> {
        let page = spool.read(after).unwrap();
        page.reports.iter().map(|r| r.seq).collect()
    }

    #[test]
    fn a8_reports_outlive_the_process_and_keep_their_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(dir.path()).unwrap();
        spool.append(UnixMs(1), vec![body(1), body(2)]).unwrap();
        spool.append(UnixMs(2), vec![body(3)]).unwrap();
        assert_eq!(seqs(&spool, 0), [1, 2, 3]);
        // Killed in the middle of a line.
        let path = segment(dir.path(), 1);
        let mut text = std::fs::read(&path).unwrap();
        text.extend_from_slice(b"{\"seq\":4,\"at\"");
        std::fs::write(&path, text).unwrap();
        let mut spool = Spool::open(dir.path()).unwrap();
        assert_eq!(seqs(&spool, 1), [2, 3]);
        spool.append(UnixMs(3), vec![body(4)]).unwrap();
        assert_eq!(seqs(&spool, 2), [3, 4]);
    }

    #[test]
    fn a8_what_is_acknowledged_goes_and_numbers_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let small = Bounds {
            segment_bytes: 20_000,
            segments: 1000,
        };
        let mut spool = Spool::bounded(dir.path(), small).unwrap();
        let many = |n: u64| (0..n).map(body).collect::<Vec<_>>();
        for _ in 0..60 {
            spool.append(UnixMs(1), many(100)).unwrap();
        }
        assert!(spool.segments.len() > 2);
        let page = spool.read(0).unwrap();
        assert!(page.more && page.reports.len() == PAGE);
        spool.acknowledge(3_000).unwrap();
        assert_eq!(seqs(&spool, 3_000)[0], 3_001);
        spool.acknowledge(6_000).unwrap();
        assert_eq!(spool.segments.len(), 1);
        let mut spool = Spool::open(dir.path()).unwrap();
        assert_eq!(spool.view().last, 6_000);
        spool.append(UnixMs(1), many(1)).unwrap();
        assert_eq!(seqs(&spool, 0), [6_001]);
    }

    #[test]
    fn i16_the_oldest_are_dropped_and_that_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let small = Bounds {
            segment_bytes: 20_000,
            segments: 4,
        };
        let mut spool = Spool::bounded(dir.path(), small).unwrap();
        let snippet = "x".repeat(1000);
        let large = || ReportBody::Candidate {
            provider: crate::api::Provider::Openai,
            status: 429,
            snippet: snippet.clone(),
        };
        while spool.acknowledged == 0 {
            spool
                .append(UnixMs(1), (0..5).map(|_| large()).collect())
                .unwrap();
        }
        assert_eq!(spool.segments.len(), small.segments);
        let first = spool.acknowledged;
        let newest = spool.read(spool.last - 1).unwrap();
        assert_eq!(newest.reports[0].body, ReportBody::Dropped { count: first });
        assert_eq!(seqs(&spool, 0)[0], first + 1);
    }
}
