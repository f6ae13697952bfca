//! The pages of the book, and the checks on them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::prelude::*;
use serde::Deserialize;

/// The folder of the pages.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../book")
}

/// A page: its path below the book's folder, and its text.
#[derive(Clone, Debug)]
pub struct Page {
    pub path: String,
    pub text: String,
}

/// Every page that the table of contents lists, in order.
pub fn pages() -> Vec<Page> {
    let summary = std::fs::read_to_string(folder().join("SUMMARY.md")).unwrap();
    let paths = links(&summary)
        .into_iter()
        .map(|link| link.target)
        .filter(|target| target.ends_with(".md"));
    paths
        .map(|path| Page { text: std::fs::read_to_string(folder().join(&path)).unwrap(), path })
        .collect()
}

/// A block of code on a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// Counted from 1.
    pub line: usize,
    /// What comes after the opening backticks.
    pub info: String,
    pub body: String,
}

/// The blocks of code on a page.
pub fn fences(text: &str) -> Vec<Fence> {
    let mut fences = Vec::new();
    let mut open: Option<(usize, Fence)> = None;
    for (i, line) in text.lines().enumerate() {
        let ticks = line.trim_start().chars().take_while(|&c| c == '`').count();
        match &mut open {
            None if ticks >= 3 => {
                let info = line.trim_start()[ticks..].trim().to_string();
                open = Some((ticks, Fence { line: i + 1, info, body: String::new() }));
            }
            Some((opened_with, _)) if ticks >= *opened_with => {
                fences.extend(open.take().map(|(_, fence)| fence))
            }
            Some((_, fence)) => fence.body += &format!("{line}\n"),
            None => {}
        }
    }
    assert!(open.is_none(), "a block of code is not closed: {open:?}");
    fences
}

/// The text with its blocks of code blanked out, so that all lines keep their numbers.
fn prose(text: &str) -> String {
    let mut open = 0;
    let keep = |line: &str| {
        let ticks = line.trim_start().chars().take_while(|&c| c == '`').count();
        let inside = open > 0;
        match ticks >= 3 {
            true if !inside => open = ticks,
            true if ticks >= open => open = 0,
            _ if !inside => return line.to_string(),
            _ => {}
        }
        String::new()
    };
    text.lines().map(keep).collect::<Vec<_>>().join("\n")
}

/// A link or a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub line: usize,
    pub text: String,
    pub target: String,
    pub picture: bool,
}

/// The links and pictures of a page.
pub fn links(text: &str) -> Vec<Link> {
    let mut links = Vec::new();
    let text = prose(text);
    for (at, _) in text.match_indices("](") {
        let Some(end) = text[at + 2..].find(')') else { continue };
        let Some(start) = text[..at].rfind('[') else { continue };
        links.push(Link {
            line: text[..at].matches('\n').count() + 1,
            text: text[start + 1..at].to_string(),
            target: text[at + 2..at + 2 + end].to_string(),
            picture: text[..start].ends_with('!'),
        });
    }
    links
}

/// A heading or a term as mdBook names it in links.
fn slug(text: &str) -> String {
    let letters = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    letters.collect::<String>().to_lowercase().replace(' ', "-")
}

/// The terms that a page defines, by their names in links. A term is a line above one that begins
/// with a colon.
pub fn terms(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    lines.windows(2).filter(|pair| pair[1].starts_with(": ")).map(|pair| slug(pair[0])).collect()
}

/// Everything that can be linked to on a page: its headings and terms (as mdBook names them),
/// explicit names, and equations.
pub fn anchors(text: &str) -> BTreeSet<String> {
    let text = prose(text);
    let mut anchors = BTreeSet::new();
    for heading in text.lines().filter(|line| line.starts_with('#')) {
        let heading = heading.trim_start_matches('#').trim();
        match heading.rsplit_once("{#") {
            Some((_, name)) => anchors.insert(name.trim_end_matches('}').to_string()),
            None => anchors.insert(slug(heading)),
        };
    }
    let named = |mark: &str, end: char| {
        let names =
            text.split(mark).skip(1).filter_map(|tail| tail.split(end).next()).map(str::to_string);
        names.collect::<Vec<_>>()
    };
    anchors.extend(named("{#eq:", '}').into_iter().map(|name| format!("eq-{name}")));
    anchors.extend(named("id=\"", '"'));
    anchors.extend(terms(&text));
    anchors
}

/// The file and the anchor that `{{#include file:anchor}}` names, if the block holds nothing else.
pub fn include(body: &str) -> Option<(&str, Option<&str>)> {
    let inside = body.trim().strip_prefix("{{#include ")?.strip_suffix("}}")?;
    (!inside.contains('\n')).then(|| match inside.split_once(':') {
        Some((file, anchor)) => (file, Some(anchor)),
        None => (inside, None),
    })
}

/// The cargo commands that a text tells the reader to type, in blocks of code or in the middle of a
/// sentence, with their line numbers.
pub fn commands(text: &str) -> Vec<(usize, String)> {
    let mut commands = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let typed = line.trim().trim_start_matches("$ ");
        let inline = line.split('`').skip(1).step_by(2);
        for command in std::iter::once(typed).chain(inline).flat_map(|line| line.split(" && ")) {
            if command.starts_with("cargo ") && !command.contains('`') {
                commands.push((i + 1, command.to_string()));
            }
        }
    }
    commands
}

/// Nobody reads a piece of code longer than this in one go.
const LONGEST_LISTING: usize = 35;
/// A page shows this many columns without a scroll bar.
const WIDEST_LISTING: usize = 88;

/// What is wrong with the code on a page. A Rust block must include an anchor (and say `ignore`,
/// because a page is also compiled as a doc test), or be a doc test itself if `doc_tested` says
/// that a crate tests this page. A console block must include a transcript.
pub fn problems_of_code(page: &Page, doc_tested: bool) -> Vec<String> {
    let problems = |fence: &Fence| {
        let place = format!("{}:{}", page.path, fence.line);
        let problems = problems_of_fence(fence, doc_tested);
        problems.into_iter().map(move |problem| format!("{place}: {problem}")).collect::<Vec<_>>()
    };
    fences(&page.text).iter().flat_map(problems).collect()
}

fn problems_of_fence(fence: &Fence, doc_tested: bool) -> Vec<String> {
    let mut info = fence.info.split(',');
    match (info.next().unwrap_or(""), include(&fence.body)) {
        (kind @ ("rust" | "c"), Some((file, Some(anchor)))) => {
            let mut problems = problems_of_listing(file, anchor);
            if kind == "rust" && !info.any(|word| word == "ignore") {
                problems.push("an include must say 'ignore'".into());
            }
            problems
        }
        ("rust" | "c", Some(_)) => vec!["an include must name an anchor".into()],
        ("rust", None) if !doc_tested => {
            vec!["no crate tests the code of this page".into()]
        }
        ("rust", None) if fence.info != "rust" => {
            vec![format!("'{}' would not be tested", fence.info)]
        }
        ("rust", None) => problems_of_width(fence.body.lines()),
        ("console", Some((file, None))) if file.starts_with("transcripts/") => {
            let missing = !folder().join(file).is_file();
            missing.then(|| format!("there is no {file}")).into_iter().collect()
        }
        ("console", _) => vec!["a console block must include a transcript".into()],
        ("text" | "python" | "toml", None) => vec![],
        (other, _) => vec![format!("code of a kind that nothing checks: '{other}'")],
    }
}

/// What is wrong with a piece of a file that a page includes.
fn problems_of_listing(file: &str, anchor: &str) -> Vec<String> {
    let text = match std::fs::read_to_string(folder().join(file)) {
        Ok(text) => text,
        Err(e) => return vec![format!("cannot read {file}: {e}")],
    };
    let lines: Vec<&str> = text.lines().collect();
    let place = |mark: String| {
        let place = lines.iter().position(|line| line.trim() == mark);
        place.ok_or_else(|| vec![format!("{file} has no '{mark}'")])
    };
    let ends = place(format!("// ANCHOR: {anchor}"))
        .and_then(|from| Ok((from, place(format!("// ANCHOR_END: {anchor}"))?)));
    let (from, to) = match ends {
        Ok(ends) => ends,
        Err(problems) => return problems,
    };
    let printed = lines[from + 1..to].iter().filter(|line| !line.trim().starts_with("// ANCHOR"));
    let mut problems = problems_of_width(printed.copied());
    if to - from > LONGEST_LISTING + 1 && !["minimal", "solutions"].contains(&anchor) {
        problems.push(format!(
            "'{anchor}' has more than {LONGEST_LISTING} lines: cut it where a sentence helps"
        ));
    }
    problems
}

/// Which lines are too wide for a page.
fn problems_of_width<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let wide = lines.filter(|line| line.chars().count() > WIDEST_LISTING);
    wide.map(|line| format!("more than {WIDEST_LISTING} columns: {}", line.trim())).collect()
}

/// What is wrong with the links and pictures of a page.
pub fn problems_of_links(page: &Page, pages: &[Page], figures: &BTreeSet<String>) -> Vec<String> {
    let mut problems = Vec::new();
    for link in links(&page.text) {
        let mut bad = |what: String| problems.push(format!("{}:{}: {what}", page.path, link.line));
        if link.text.trim().is_empty() {
            bad(format!("the link or picture {} has no text", link.target));
        }
        if link.target.starts_with("http") {
            continue;
        }
        let (file, anchor) = match link.target.split_once('#') {
            Some((file, anchor)) => (file, Some(anchor)),
            None => (link.target.as_str(), None),
        };
        let known = match file {
            "" => Some(page),
            _ => pages.iter().find(|other| other.path == file),
        };
        match (known, anchor) {
            (Some(to), Some(anchor)) if !anchors(&to.text).contains(anchor) => {
                bad(format!("{} has no #{anchor}", to.path))
            }
            (None, _) if !folder().join(file).exists() => bad(format!("there is no {file}")),
            _ => {}
        }
        if let (true, Some(figure)) = (link.picture, file.strip_prefix("figures/")) {
            if !figures.contains(figure) {
                bad(format!("no command makes {figure}"));
            }
        }
    }
    problems
}

/// A command that the book gives, and what it makes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Making {
    /// As a reader types it; it runs in an empty folder.
    pub command: String,
    /// The file in `book/transcripts` that holds the command and what it prints, if a page shows
    /// them.
    pub transcript: Option<String>,
    /// The files that it writes and that pages show; the book keeps them in `book/figures`.
    #[serde(default)]
    pub figures: Vec<String>,
    /// Files, kept next to the pages, that are first copied into the empty folder.
    #[serde(default)]
    pub inputs: Vec<String>,
    /// Whether a network drew the figures; if so, they may differ, because processors round
    /// differently.
    #[serde(default)]
    pub drawn: bool,
}

/// Every command that makes something shown in the book.
pub fn makings() -> Vec<Making> {
    serde_json::from_slice(&std::fs::read(folder().join("makings.json")).unwrap()).unwrap()
}

impl Making {
    /// Runs the command in `empty`, and returns the transcript.
    pub fn run(&self, empty: &Path) -> String {
        let words = words(&self.command);
        assert_eq!(words[..3], ["cargo", "run", "-p"], "{}", self.command);
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
        for input in self.inputs.iter().map(|name| folder().join(name)) {
            std::fs::copy(&input, empty.join(input.file_name().expect("it is a file"))).unwrap();
        }
        let mut command = Command::new(env!("CARGO"));
        command
            .args(["run", "-q", "--manifest-path"])
            .arg(manifest)
            .args(&words[2..])
            .current_dir(empty);
        let output = command.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} failed: {error}", self.command);
        format!("$ {}\n{}", self.command, masked(&String::from_utf8_lossy(&output.stdout)))
    }
}

/// The side lengths of cat pictures and digit pictures, in pixels.
const SIDES: [usize; 2] = [16, 28];

/// A figure that a command has made, as the book keeps it: images that the command has enlarged are
/// brought back to their original size, because the page enlarges them, and a page of large
/// pictures loads slowly.
pub fn figure(path: &Path) -> Vec<u8> {
    let made = std::fs::read(path).unwrap();
    if path.extension().is_none_or(|kind| kind != "png") {
        return made;
    }
    let picture = pixels(&made);
    let small = SIDES.into_iter().find_map(|side| figures::natural_size(&picture, side));
    small.map_or(made, |small| figures::png(&small).unwrap())
}

/// The words of a command; text in quotes is one word.
pub fn words(command: &str) -> Vec<&str> {
    command
        .split('"')
        .enumerate()
        .flat_map(|(i, part)| match i % 2 {
            0 => part.split_whitespace().collect(),
            _ => vec![part],
        })
        .collect()
}

/// The text with dots in place of the numbers that differ from run to run: seconds and speeds.
fn masked(text: &str) -> String {
    let mut words: Vec<String> = text.split(' ').map(str::to_string).collect();
    for i in 1..words.len() {
        let unit =
            words[i].trim_end_matches([',', '\n', ';']).lines().next().unwrap_or("").to_string();
        if ["s", "images/s"].contains(&unit.as_str()) && words[i - 1].parse::<f64>().is_ok() {
            words[i - 1] = "…".into();
        }
    }
    words.join(" ")
}

/// The share of the values (one per colour channel of a pixel) in which two pictures differ by more
/// than `most` out of 255; 1 if the sizes differ. In SVG files the embedded pictures are compared,
/// and 1 is returned if anything else in the files differs.
pub fn difference(a: &[u8], b: &[u8], most: u8) -> f64 {
    if !a.starts_with(b"<svg") {
        return share_beyond([a, b].map(pixels), most);
    }
    let [(text_a, pictures_a), (text_b, pictures_b)] = [a, b].map(embedded);
    if text_a != text_b || pictures_a.len() != pictures_b.len() {
        return 1.0;
    }
    let pairs = pictures_a.into_iter().zip(pictures_b);
    pairs.map(|(a, b)| share_beyond([a, b], most)).fold(0.0, f64::max)
}

fn pixels(bytes: &[u8]) -> image::RgbImage {
    image::load_from_memory(bytes).unwrap().to_rgb8()
}

/// An SVG file without the pictures in it, and the pictures.
fn embedded(svg: &[u8]) -> (String, Vec<image::RgbImage>) {
    let svg = std::str::from_utf8(svg).unwrap();
    let mut parts = svg.split("data:image/png;base64,");
    let (mut text, mut pictures) = (parts.next().unwrap().to_string(), Vec::new());
    for part in parts {
        let (picture, rest) = part.split_once('"').unwrap();
        pictures.push(pixels(&BASE64_STANDARD.decode(picture).unwrap()));
        text += rest;
    }
    (text, pictures)
}

fn share_beyond([a, b]: [image::RgbImage; 2], most: u8) -> f64 {
    if a.dimensions() != b.dimensions() {
        return 1.0;
    }
    let beyond = a.as_raw().iter().zip(b.as_raw()).filter(|(a, b)| a.abs_diff(**b) > most).count();
    beyond as f64 / a.as_raw().len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_holds() {
        let text = "# One *two*\n\n[a](b.md#c) ![d](figures/e.png)\n\n\
            ```rust,ignore\n{{#include f.rs:g}}\n```\n\n\
            ````text\n```\n[no](no)\n````\n$$x$$ {#eq:y}\n";
        assert_eq!(fences(text).len(), 2);
        assert_eq!(include(&fences(text)[0].body), Some(("f.rs", Some("g"))));
        let found = links(text);
        assert_eq!((found.len(), found[0].target.as_str(), found[1].picture), (2, "b.md#c", true));
        assert_eq!(anchors(text), ["eq-y", "one-two"].map(String::from).into());
        assert_eq!(terms("Big word\n: what it means\n\nNo: word\n"), ["big-word"]);
        assert_eq!(
            masked("4 images, 1.5 images/s\nafter 3 s, 12 steps"),
            "4 images, … images/s\nafter … s, 12 steps"
        );
    }

    fn svg(words: &str, value: u8) -> Vec<u8> {
        let mut png = std::io::Cursor::new(Vec::new());
        let picture =
            image::RgbImage::from_fn(10, 10, |x, _| image::Rgb([value * (x < 2) as u8; 3]));
        picture.write_to(&mut png, image::ImageFormat::Png).unwrap();
        let png = BASE64_STANDARD.encode(png.into_inner());
        format!("<svg><image href=\"data:image/png;base64,{png}\"/>{words}</svg>").into_bytes()
    }

    #[test]
    fn pictures_inside_svg_files_are_compared_pixel_by_pixel() {
        let one = svg("a cat", 0);
        assert_eq!(difference(&one, &one, 24), 0.0);
        assert_eq!(difference(&one, &svg("a cat", 20), 24), 0.0);
        assert_eq!(difference(&one, &svg("a cat", 30), 24), 0.2);
        assert_eq!(difference(&one, &svg("a dog", 0), 24), 1.0);
    }
}
