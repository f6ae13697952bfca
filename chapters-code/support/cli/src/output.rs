//! What a program is going to write.

use std::path::Path;

use files::Place;

/// Formats that a file's extension can promise.
const FORMATS: [&str; 31] = [
    "png",
    "gif",
    "svg",
    "csv",
    "safetensors",
    "json",
    "jpg",
    "jpeg",
    "jpe",
    "jfif",
    "webp",
    "bmp",
    "tif",
    "tiff",
    "avif",
    "heic",
    "ico",
    "ppm",
    "pdf",
    "ps",
    "eps",
    "mp4",
    "webm",
    "avi",
    "mov",
    "apng",
    "npy",
    "npz",
    "pt",
    "bin",
    "zip",
];

/// Finds out, before the work begins, whether all outputs can be written. Each is given as the flag
/// that sets its path, the path, and the format as a file extension, such as `"png"`. If one of
/// them goes to standard output, what the program prints goes to standard error from then on.
///
/// # Errors
/// If a file cannot be written, if its name promises another format, or if two outputs would be the
/// same file.
pub fn outputs<P: AsRef<Path>>(
    outputs: impl IntoIterator<Item = (&'static str, P, &'static str)>,
) -> anyhow::Result<()> {
    let mut places = Vec::new();
    for (flag, path, format) in outputs {
        let path = path.as_ref();
        check_name(flag, path, format)?;
        let place = files::check(path)?;
        anyhow::ensure!(
            matches!(place, Place::Stream(_)) || !places.contains(&place),
            "{flag} {}: another output goes there, too",
            path.display()
        );
        places.push(place);
    }
    if places.contains(&Place::Stdout) {
        crate::print::take_stdout();
    }
    Ok(())
}

fn check_name(flag: &str, path: &Path, format: &str) -> anyhow::Result<()> {
    let ending =
        path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
    anyhow::ensure!(
        ending == format || !FORMATS.contains(&ending.as_str()),
        "{flag} {}: the file would hold {}, not {}: make its name end with .{format}",
        path.display(),
        format.to_uppercase(),
        ending.to_uppercase()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_promises_what_the_file_holds() {
        let folder = tempfile::tempdir().unwrap();
        let check = |name: &str| {
            let path = folder.path().join(name);
            outputs([("--out", &path, "png")])
        };
        for good in ["a.png", "A.PNG", "a", "a.2026", "a.cats", ".png"] {
            check(good).unwrap();
        }
        for bad in ["a.jpg", "a.GIF", "a.svg", "a.png.csv"] {
            let problem = check(bad).unwrap_err().to_string();
            assert!(
                problem.contains("--out") && problem.contains(bad) && problem.contains(".png"),
                "{problem}"
            );
        }
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    }

    #[test]
    fn two_outputs_are_two_files() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        let both = |a, b| outputs([("--out", a, "png"), ("--film", b, "gif")]);
        both(&a, &b).unwrap();
        assert!(both(&a, &a).unwrap_err().to_string().contains("--film"));
    }
}
