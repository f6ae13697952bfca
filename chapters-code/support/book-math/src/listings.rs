//! The names of the files that listings are cut from.

use crate::whole;

/// The path from the folder of a page to the root of the repository.
const TO_ROOT: &str = "../";

/// Writes above each listing which file it is cut from, as a link if there is an address for
/// files (`https://…/blob/main/`, say). Call this before mdBook includes the files.
pub fn name_files(text: &str, address: Option<&str>) -> String {
    let lines: Vec<&str> = text.split('\n').collect();
    let mut named = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        if let Some(file) = line.starts_with("```").then(|| included(lines.get(i + 1)?)).flatten() {
            named.push(label(file, address));
            named.push(String::new());
        }
        named.push(line.to_string());
    }
    named.join("\n")
}

/// The path of an included file from the root of the repository; `None` for a transcript, which
/// lies next to the page.
fn included(line: &str) -> Option<&str> {
    let path = line.strip_prefix("{{#include ")?.split([':', '}']).next()?;
    path.strip_prefix(TO_ROOT)
}

fn label(file: &str, address: Option<&str>) -> String {
    // On a narrow page, a path is broken after a slash and not at a hyphen.
    let name = whole(file);
    match address {
        None => format!("<div class=\"file\">{name}</div>"),
        Some(address) => {
            format!("<div class=\"file\"><a href=\"{address}{file}\">{name}</a></div>")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::name_files;

    #[test]
    fn listings_are_named_and_transcripts_are_not() {
        let page = "Text.\n\n```rust,ignore\n{{#include ../a/b.rs:c}}\n```\n\n\
            ```console\n{{#include transcripts/d.txt}}\n```\n\n```rust\nlet x = 1;\n```";
        let named = name_files(page, None);
        let name = "<span class=\"whole\">a&#47;</span><wbr><span class=\"whole\">b&#46;rs</span>";
        let label = format!("<div class=\"file\">{name}</div>\n\n```rust,ignore\n");
        assert!(named.contains(&label), "{named}");
        assert_eq!(named.matches("class=\"file\"").count(), 1);
        let linked = name_files(page, Some("https://example.org/"));
        assert!(
            linked.contains(&format!("<a href=\"https://example.org/a/b.rs\">{name}</a>")),
            "{linked}"
        );
    }
}
