//! Finding the pictures in a folder, and counting what is passed over.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::super::kind::{look, Kind};
use crate::DataError;

/// The file of captions: not a picture, but not counted as passed over either.
pub(super) const CAPTIONS: &str = "captions.csv";

/// At most this many entries below the second level are looked at.
const MAX_NESTED: usize = 10_000;

/// A picture, and the subfolder that it is in (empty if in none).
pub(super) struct Picture {
    pub path: PathBuf,
    pub class: String,
}

/// What a folder holds: its pictures in the order of their paths, and a sentence about
/// everything else.
pub(super) struct Found {
    pub pictures: Vec<Picture>,
    pub note: Option<String>,
}

/// Why something in a folder is not a picture of the data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    NoPicture,
    OtherPicture,
    Hidden,
    Nested,
    Double,
    Dangling,
}

impl Reason {
    fn words(self, count: usize) -> &'static str {
        let (one, many) = match self {
            Self::NoPicture => {
                ("file that is not an image", "files that are not images")
            }
            Self::OtherPicture => (
                "image of a kind that is not read",
                "images of kinds that are not read",
            ),
            Self::Hidden => ("hidden one", "hidden ones"),
            Self::Nested => (
                "image below a second level of folders",
                "images below a second level of folders",
            ),
            Self::Double => {
                ("link to what is there already", "links to what is there already")
            }
            Self::Dangling => ("link that leads nowhere", "links that lead nowhere"),
        };
        if count == 1 {
            one
        } else {
            many
        }
    }
}

/// Finds the pictures in `root` and its subfolders. Only regular files are opened, and no file is
/// found twice, whatever links there are.
///
/// # Errors
/// If a folder or file cannot be read.
pub(super) fn find(root: &Path) -> Result<Found, DataError> {
    let mut walk = Walk {
        seen: HashSet::new(),
        skipped: BTreeMap::new(),
        nested: Vec::new(),
        left: MAX_NESTED,
    };
    let mut files = Vec::new();
    let mut folders = Vec::new();
    walk.enter(root)?;
    for entry in walk.list(root)? {
        match entry.kind {
            EntryKind::Folder => folders.push(entry),
            EntryKind::File
                if entry.path.file_name().is_some_and(|name| name == CAPTIONS) => {}
            EntryKind::File => files.push((entry, String::new())),
        }
    }
    folders.sort_by_key(|folder| folder.is_link); // stable: the order of names is otherwise kept
    for folder in folders {
        if !walk.enter(&folder.path)? {
            walk.skip(Reason::Double, folder.path);
            continue;
        }
        let class =
            folder.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for mut entry in walk.list(&folder.path)? {
            entry.is_link |= folder.is_link;
            match entry.kind {
                EntryKind::Folder => walk.nested.push(entry.path),
                EntryKind::File => files.push((entry, class.clone())),
            }
        }
    }
    let files = walk.once_each(files)?;
    let pictures = walk.pictures(files)?;
    walk.count_nested()?;
    Ok(Found { pictures, note: walk.note(root) })
}

/// Something in a folder, with links followed.
struct Entry {
    path: PathBuf,
    kind: EntryKind,
    is_link: bool,
}

enum EntryKind {
    File,
    Folder,
}

struct Walk {
    /// The folders that were entered, by their true paths.
    seen: HashSet<PathBuf>,
    /// For each reason, how many entries were passed over, and which was the first.
    skipped: BTreeMap<Reason, (usize, PathBuf)>,
    /// Folders that are too deep.
    nested: Vec<PathBuf>,
    /// How many more entries can be looked at in folders that are too deep.
    left: usize,
}

impl Walk {
    fn skip(&mut self, reason: Reason, path: PathBuf) {
        let (count, first) =
            self.skipped.entry(reason).or_insert_with(|| (0, path.clone()));
        *count += 1;
        if path < *first {
            *first = path;
        }
    }

    /// Whether this folder is being entered for the first time.
    fn enter(&mut self, folder: &Path) -> Result<bool, DataError> {
        Ok(self.seen.insert(true_path(folder)?))
    }

    /// The files and folders in a folder, in the order of their names. Hidden ones, and anything
    /// that is neither a file nor a folder, are passed over.
    fn list(&mut self, folder: &Path) -> Result<Vec<Entry>, DataError> {
        let failed = failed(folder);
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(&failed)? {
            let entry = entry.map_err(&failed)?;
            let (path, is_link) =
                (entry.path(), entry.file_type().map_err(&failed)?.is_symlink());
            match std::fs::metadata(&path) {
                _ if is_hidden(&path) => self.skip(Reason::Hidden, path),
                Ok(facts) if facts.is_dir() => {
                    entries.push(Entry { path, kind: EntryKind::Folder, is_link })
                }
                Ok(facts) if facts.is_file() => {
                    entries.push(Entry { path, kind: EntryKind::File, is_link })
                }
                Ok(_) => self.skip(Reason::NoPicture, path),
                Err(_) if is_link => self.skip(Reason::Dangling, path),
                Err(source) => return Err(DataError::Read { path, source }),
            }
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    /// The files, except links to files that are listed already, in the order of their paths.
    fn once_each(
        &mut self,
        mut files: Vec<(Entry, String)>,
    ) -> Result<Vec<(PathBuf, String)>, DataError> {
        files.sort_by(|(a, _), (b, _)| (a.is_link, &a.path).cmp(&(b.is_link, &b.path)));
        let any_link = files.last().is_some_and(|(last, _)| last.is_link);
        let mut seen = HashSet::new();
        let mut kept = Vec::new();
        for (entry, class) in files {
            if any_link && !seen.insert(true_path(&entry.path)?) {
                self.skip(Reason::Double, entry.path);
            } else {
                kept.push((entry.path, class));
            }
        }
        kept.sort();
        Ok(kept)
    }

    /// The files that are pictures.
    fn pictures(
        &mut self,
        files: Vec<(PathBuf, String)>,
    ) -> Result<Vec<Picture>, DataError> {
        let kinds: Vec<Kind> =
            files.par_iter().map(|(path, _)| kind(path)).collect::<Result<_, _>>()?;
        let mut pictures = Vec::new();
        for ((path, class), kind) in files.into_iter().zip(kinds) {
            match kind {
                Kind::Picture(_) => pictures.push(Picture { path, class }),
                Kind::OtherPicture => self.skip(Reason::OtherPicture, path),
                Kind::NoPicture => self.skip(Reason::NoPicture, path),
            }
        }
        Ok(pictures)
    }

    /// Counts the pictures that are too deep.
    fn count_nested(&mut self) -> Result<(), DataError> {
        while let Some(folder) = self.nested.pop() {
            if !self.enter(&folder)? {
                continue;
            }
            for entry in std::fs::read_dir(&folder).map_err(failed(&folder))? {
                let entry = entry.map_err(failed(&folder))?;
                let kind_of_entry = entry.file_type().map_err(failed(&folder))?;
                if self.left == 0 {
                    return Ok(());
                }
                self.left -= 1;
                match entry.path() {
                    path if is_hidden(&path) => {}
                    path if kind_of_entry.is_dir() => self.nested.push(path),
                    path if kind_of_entry.is_file()
                        && kind(&path)? != Kind::NoPicture =>
                    {
                        self.skip(Reason::Nested, path);
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// What was passed over, in a sentence.
    fn note(&self, root: &Path) -> Option<String> {
        let part = |(reason, (count, first)): (&Reason, &(usize, PathBuf))| {
            let count_and_more = match reason {
                Reason::Nested if self.left == 0 => format!("at least {count}"),
                _ => count.to_string(),
            };
            let first = first.strip_prefix(root).unwrap_or(first).display();
            let (only, words) =
                (if *count == 1 { "" } else { "first: " }, reason.words(*count));
            format!("{count_and_more} {words} ({only}{first})")
        };
        let parts: Vec<String> = self.skipped.iter().map(part).collect();
        (!parts.is_empty())
            .then(|| format!("{}: skipped {}", root.display(), and(&parts)))
    }
}

/// "a", "a and b", "a, b and c".
fn and(parts: &[String]) -> String {
    match parts {
        [before @ .., last] if !before.is_empty() => {
            format!("{} and {last}", before.join(", "))
        }
        _ => parts.concat(),
    }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

fn kind(path: &Path) -> Result<Kind, DataError> {
    // An empty file is not even opened: files in a system's `/proc` look empty, and reading one may
    // take for ever.
    if std::fs::metadata(path).map_err(failed(path))?.len() == 0 {
        return Ok(Kind::NoPicture);
    }
    File::open(path).and_then(|mut file| look(&mut file)).map_err(failed(path))
}

fn true_path(path: &Path) -> Result<PathBuf, DataError> {
    path.canonicalize().map_err(failed(path))
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> DataError + '_ {
    |source| DataError::Read { path: path.to_path_buf(), source }
}
