//! `captions.csv`: which caption belongs to which picture.

use std::collections::HashMap;
use std::path::Path;

use super::find::{Picture, CAPTIONS};
use crate::DataError;

/// The longest table that is accepted, in bytes.
const MAX_TABLE_BYTES: u64 = 256 << 20;

/// The caption of each picture: that of its row in `captions.csv`, or its class if it has no row; a
/// note then says so.
///
/// # Errors
/// If the table lacks a column, if a row is broken or could mean two pictures, or if two rows mean
/// the same picture.
pub(super) fn read(
    folder: &Path,
    pictures: &[Picture],
    notes: &mut Vec<String>,
) -> Result<Vec<String>, DataError> {
    let path = folder.join(CAPTIONS);
    let mut captions: Vec<Option<String>> = vec![None; pictures.len()];
    if path.is_file() {
        let names = Names::new(folder, pictures);
        notes.extend(fill(&path, &names, &mut captions)?);
        notes.extend(without_caption(&path, &names, &captions));
    }
    let class = |(caption, picture): (Option<String>, &Picture)| {
        caption.unwrap_or_else(|| picture.class.clone())
    };
    Ok(captions.into_iter().zip(pictures).map(class).collect())
}

/// Enters the table's rows. Rows that name no picture are reported.
fn fill(
    path: &Path,
    names: &Names,
    captions: &mut [Option<String>],
) -> Result<Option<String>, DataError> {
    let input = std::fs::File::open(path)
        .map_err(|source| DataError::Read { path: path.to_path_buf(), source })?;
    if input.metadata().is_ok_and(|facts| facts.len() > MAX_TABLE_BYTES) {
        return Err(DataError::bad(
            path,
            format!("is longer than {} MiB: shorten it", MAX_TABLE_BYTES >> 20),
        ));
    }
    let mut table = csv::Reader::from_reader(input);
    let header = table.headers().map_err(|error| broken(path, &error))?.clone();
    let (file, caption) =
        (column(path, &header, "file")?, column(path, &header, "caption")?);
    let mut lines: HashMap<usize, u64> = HashMap::new();
    let (mut lost, mut first_lost) = (0, String::new());
    for row in table.records() {
        let row = row.map_err(|error| broken(path, &error))?;
        let line = row.position().map_or(0, csv::Position::line);
        let bad =
            |problem: String| DataError::bad(path, format!("line {line}: {problem}"));
        let Some(picture) = names.find(&row[file]).map_err(bad)? else {
            if lost == 0 {
                first_lost = format!("line {line}, {}", &row[file]);
            }
            lost += 1;
            continue;
        };
        if let Some(before) = lines.insert(picture, line) {
            let problem = format!(
                "{} already has a row, line {before}: remove one of them",
                &row[file]
            );
            return Err(bad(problem));
        }
        captions[picture] =
            Some(row[caption].trim().to_string()).filter(|caption| !caption.is_empty());
    }
    let rows = if lost == 1 { "row names no image" } else { "rows name no image" };
    let note = || {
        format!("{}: {lost} {rows} in the folder (first: {first_lost})", path.display())
    };
    Ok((lost > 0).then(note))
}

/// A sentence about the pictures without a caption, if there are any.
fn without_caption(
    path: &Path,
    names: &Names,
    captions: &[Option<String>],
) -> Option<String> {
    let first = captions.iter().position(Option::is_none)?;
    let count = captions.iter().filter(|caption| caption.is_none()).count();
    let (images, their) =
        if count == 1 { ("image has", "its") } else { ("images have", "their") };
    Some(format!(
        "{}: {count} {images} no caption there (first: {}), so the name of {their} \
        subfolder is used",
        path.display(),
        names.paths[first]
    ))
}

/// Which column has this name.
fn column(
    path: &Path,
    header: &csv::StringRecord,
    name: &str,
) -> Result<usize, DataError> {
    let mut found =
        (0..header.len()).filter(|&i| header[i].trim().eq_ignore_ascii_case(name));
    match (found.next(), found.next()) {
        (Some(column), None) => Ok(column),
        (column, _) => {
            let found =
                if column.is_some() { "are two columns" } else { "is no column" };
            let header: Vec<&str> = header.iter().collect();
            Err(DataError::bad(
                path,
                format!(
                    "line 1: there {found} \"{name}\" in \"{}\": the first line \
                    must name the columns file and caption, once each, separated by \
                    commas",
                    header.join(",")
                ),
            ))
        }
    }
}

fn broken(path: &Path, error: &csv::Error) -> DataError {
    let line = error.position().map_or(1, csv::Position::line);
    let problem = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => format!(
            "has {len} fields where the first line has {expected_len}: a caption that \
            contains a comma needs quotation marks"
        ),
        csv::ErrorKind::Utf8 { .. } => {
            "is not UTF-8: save the table as UTF-8".to_string()
        }
        _ => format!("cannot be read ({error}): repair it"),
    };
    DataError::bad(path, format!("line {line} {problem}"))
}

/// The pictures by their paths below the folder, in the spellings that a table can use.
struct Names {
    paths: Vec<String>,
    exact: HashMap<String, usize>,
    lower: HashMap<String, Vec<usize>>,
}

impl Names {
    fn new(folder: &Path, pictures: &[Picture]) -> Self {
        let below = |picture: &Picture| {
            let path = picture.path.strip_prefix(folder).unwrap_or(&picture.path);
            let parts: Vec<_> =
                path.iter().map(|part| part.to_string_lossy()).collect();
            parts.join("/")
        };
        let paths: Vec<String> = pictures.iter().map(below).collect();
        let exact = paths.iter().cloned().zip(0..).collect();
        let mut lower: HashMap<String, Vec<usize>> = HashMap::new();
        for (i, path) in paths.iter().enumerate() {
            lower.entry(path.to_lowercase()).or_default().push(i);
        }
        Self { paths, exact, lower }
    }

    /// The picture that a row means, found by its path as written, else without `./` and with `/`
    /// for `\`, else regardless of case.
    fn find(&self, written: &str) -> Result<Option<usize>, String> {
        let mut plain = written.trim().replace('\\', "/");
        while let Some(rest) = plain.strip_prefix("./") {
            plain = rest.trim_start_matches('/').to_string();
        }
        if let Some(&picture) =
            self.exact.get(written).or_else(|| self.exact.get(&plain))
        {
            return Ok(Some(picture));
        }
        match self.lower.get(&plain.to_lowercase()).map(Vec::as_slice) {
            None => Ok(None),
            Some([picture]) => Ok(Some(*picture)),
            Some(several) => {
                let names: Vec<&str> =
                    several.iter().map(|&i| self.paths[i].as_str()).collect();
                Err(format!(
                    "{written} may be {}: write it as the file is named",
                    names.join(" or ")
                ))
            }
        }
    }
}
