//! The layout of the book: its crates form a line of chapters with the support crates below them,
//! and no two files import each other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use book_tests::imports::{Sources, PROGRAM, TESTS};
use book_tests::tree;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests are in a folder").to_path_buf()
}

/// What cargo prints when it is run offline in the folder of the book.
fn cargo(args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO"));
    let output = command.args(args).arg("--offline").current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A package of the workspace.
struct Package {
    name: String,
    folder: PathBuf,
    metadata: Value,
}

impl Package {
    fn is_chapter(&self) -> bool {
        is_chapter(&self.name)
    }

    fn is_support(&self) -> bool {
        self.folder.parent().is_some_and(|parent| parent.ends_with("chapters-code/support"))
    }

    /// Its dependencies when its default features are off, except those of tests and examples.
    fn dependencies(&self) -> impl Iterator<Item = Dependency<'_>> {
        let all = self.metadata["dependencies"].as_array().unwrap().iter();
        let kept = all
            .filter(|dependency| dependency["kind"].is_null() && dependency["optional"] == false);
        kept.map(|dependency| Dependency {
            name: dependency["name"].as_str().unwrap(),
            default_features: dependency["uses_default_features"] == true,
        })
    }

    /// The root file of each of its targets that has one of these kinds.
    fn roots(&self, kinds: &[&str]) -> Vec<PathBuf> {
        let is_kept = |target: &&Value| {
            let kind = target["kind"].as_array().unwrap();
            kind.iter().any(|kind| kinds.contains(&kind.as_str().unwrap()))
        };
        let targets = self.metadata["targets"].as_array().unwrap().iter().filter(is_kept);
        targets.map(|target| target["src_path"].as_str().unwrap().into()).collect()
    }
}

struct Dependency<'a> {
    name: &'a str,
    default_features: bool,
}

fn is_chapter(name: &str) -> bool {
    name.starts_with("ch0") || name.starts_with("ch1")
}

/// The packages of the workspace, by name.
fn packages() -> Vec<Package> {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version", "1"])).unwrap();
    let package = |metadata: &Value| Package {
        name: metadata["name"].as_str().unwrap().into(),
        folder: Path::new(metadata["manifest_path"].as_str().unwrap()).parent().unwrap().into(),
        metadata: metadata.clone(),
    };
    let mut packages: Vec<_> =
        metadata["packages"].as_array().unwrap().iter().map(package).collect();
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    packages
}

/// Fails with all problems, one per line.
fn assert_none(problems: impl IntoIterator<Item = String>) {
    let problems: Vec<String> = problems.into_iter().collect();
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// The libraries that read and write parts of a model directory.
const WITH_MODEL_DIRECTORY: [&str; 4] =
    ["ch04-unet", "ch05-train", "ch08-conditioning", "ch09-evaluation"];

/// Whether the library of a chapter may depend on `other`, a package of the workspace.
fn may_stand_on(chapter: &str, other: &str) -> bool {
    let earlier = is_chapter(other) && other < chapter;
    earlier || other == "ops" || other == "files" && WITH_MODEL_DIRECTORY.contains(&chapter)
}

#[test]
fn a_chapter_stands_on_ops_and_on_the_chapters_before_it() {
    let packages = packages();
    let ours = |name: &str| packages.iter().any(|package| package.name == name);
    let mut problems = Vec::new();
    for chapter in packages.iter().filter(|package| package.is_chapter()) {
        for Dependency { name, default_features } in chapter.dependencies() {
            if ours(name) && !may_stand_on(&chapter.name, name) {
                problems.push(format!("{}: its library depends on {name}", chapter.name));
            }
            if is_chapter(name) && default_features {
                problems.push(format!("{}: depends on {name} with its program", chapter.name));
            }
        }
    }
    assert!(packages.iter().filter(|package| package.is_chapter()).count() >= 8);
    assert_none(problems);
}

/// Packages that only programs need.
const OF_PROGRAMS: [&str; 9] =
    ["clap", "cli", "ctrlc", "figures", "indicatif", "plotters", "shlex", "signal-hook", "sysinfo"];

#[test]
fn no_library_of_a_chapter_brings_what_only_programs_need() {
    let mut problems = Vec::new();
    for chapter in packages().iter().filter(|package| package.is_chapter()) {
        let name = chapter.name.as_str();
        let tree =
            ["tree", "--no-default-features", "-e", "normal", "--prefix", "none", "-p", name];
        let tree = cargo(&tree);
        let on_this_system = tree.lines().filter_map(|line| line.split(' ').next());
        let on_any_system = chapter.dependencies().map(|dependency| dependency.name);
        let brought: BTreeSet<&str> = on_this_system.chain(on_any_system).collect();
        let unwanted = OF_PROGRAMS.iter().filter(|name| brought.contains(*name));
        problems.extend(unwanted.map(|unwanted| format!("{name}: brings {unwanted}")));
    }
    assert_none(problems);
}

#[test]
fn what_the_chapters_stand_on_knows_no_chapter() {
    let mut problems = Vec::new();
    for package in packages().iter().filter(|package| package.is_support()) {
        if ["benchmark", "live"].contains(&package.name.as_str()) {
            continue; // They use the chapters, and no chapter uses them.
        }
        let chapters = package.dependencies().filter(|dependency| is_chapter(dependency.name));
        problems.extend(
            chapters.map(|chapter| format!("{}: depends on {}", package.name, chapter.name)),
        );
    }
    assert_none(problems);
}

/// What a library must leave to programs: processes, threads, clocks and standard output.
fn is_of_programs(path: &[String]) -> bool {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let clock = |name: &&str| ["Instant", "SystemTime"].contains(name);
    let print = |name: &&str| ["print!", "println!", "eprint!", "eprintln!", "dbg!"].contains(name);
    matches!(path[..], ["std", "process" | "thread", ..])
        || path.iter().any(clock)
        || path.last().is_some_and(print)
}

#[test]
fn no_library_of_a_chapter_prints_or_starts_or_times_anything() {
    let mut problems = BTreeSet::new();
    for chapter in packages().iter().filter(|package| package.is_chapter()) {
        let [library] = chapter.roots(&["lib"]).try_into().expect("a chapter has a library");
        let sources = Sources::read(&library, &[TESTS, PROGRAM]);
        for (file, path) in sources.named() {
            if is_of_programs(path) {
                problems.insert(format!("{}: {}", shown(file), path.join("::")));
            }
        }
    }
    assert_none(problems);
}

/// A path relative to the folder of the book.
fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

#[test]
fn no_two_files_import_each_other() {
    let mut problems = BTreeSet::new();
    let kinds = ["lib", "cdylib", "bin", "example", "test", "bench"];
    for root in packages().iter().flat_map(|package| package.roots(&kinds)) {
        let sources = Sources::read(&root, &[TESTS]);
        let circles = sources.circles();
        problems.extend(circles.iter().map(|(a, b)| format!("{} ↔ {}", shown(a), shown(b))));
    }
    assert_none(problems);
}

/// What the top level holds: the reader's map, and the settings of tools.
const TOP_LEVEL: [&str; 19] = [
    ".cargo",
    ".ci",
    ".editorconfig",
    ".gitignore",
    ".rustfmt.toml",
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "book",
    "book.toml",
    "chapters-code",
    "deny.toml",
    "notebooks",
    "rust-toolchain.toml",
    "tests",
];

/// What git tracks at the top level, where readers may also keep what the programs write.
fn tracked() -> BTreeSet<String> {
    let git = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    let output = git.expect("git lists the files of the book");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let paths = String::from_utf8(output.stdout).unwrap();
    let names = paths.split_terminator('\0').filter_map(|path| path.split('/').next());
    names.map(str::to_string).collect()
}

#[test]
fn the_top_level_is_the_readers_map() {
    let missing = TOP_LEVEL.iter().filter(|name| !root().join(name).exists());
    let mut problems: Vec<String> = missing.map(|name| format!("there is no {name}")).collect();
    // An archive of the book has no list of tracked files.
    let tracked = if root().join(".git").exists() { tracked() } else { BTreeSet::new() };
    let added = tracked.into_iter().filter(|name| !TOP_LEVEL.contains(&name.as_str()));
    problems.extend(added.map(|name| format!("{name} is not on the map")));
    assert_none(problems);
}

#[test]
fn every_chapter_and_every_support_crate_is_on_its_shelf() {
    for package in packages() {
        let shelf = match package.name.as_str() {
            "book-tests" => continue,
            name if is_chapter(name) => "chapters-code",
            _ => "chapters-code/support",
        };
        assert_eq!(package.folder, root().join(shelf).join(&package.name));
    }
}

#[test]
fn a_support_crate_begins_with_who_may_use_it() {
    let mut problems = Vec::new();
    for package in packages().iter().filter(|package| package.is_support()) {
        let root = &package.roots(&["lib", "bin"])[0];
        let text = std::fs::read_to_string(root).unwrap();
        if !text.starts_with("//! Used by ") {
            problems.push(format!("{}: does not begin with '//! Used by …'", shown(root)));
        }
        let description = package.metadata["description"].as_str().unwrap_or_default();
        if !description.starts_with("Used by ") {
            problems.push(format!("{}: its description is '{description}'", package.name));
        }
    }
    assert_none(problems);
}

/// The most characters that a line of Rust may have. A page shows fewer; see the test `pages`.
const WIDTH: usize = 100;

#[test]
fn no_line_of_rust_is_longer_than_a_window() {
    let folders = ["chapters-code", "notebooks", "tests"].map(|name| root().join(name));
    let files: Vec<PathBuf> =
        folders.iter().flat_map(|folder| tree::files(folder, &["rs"])).collect();
    assert!(files.len() > 100, "{files:?}");
    assert_none(files.iter().flat_map(|file| {
        let text = std::fs::read_to_string(file).unwrap();
        let long = |(i, line): (usize, &str)| {
            let count = line.chars().count();
            (count > WIDTH).then(|| format!("{}:{}: {count} characters", shown(file), i + 1))
        };
        text.lines().enumerate().filter_map(long).collect::<Vec<_>>()
    }));
}

#[test]
fn rustfmt_knows_the_widths() {
    for (folder, width) in [(".", 100), ("chapters-code", 88), ("chapters-code/support", 100)] {
        let path = root().join(folder).join(".rustfmt.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let expected = format!("max_width = {width}");
        assert!(text.lines().any(|line| line == expected), "{} has no {expected}", path.display());
    }
}
