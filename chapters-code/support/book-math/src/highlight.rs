//! Colours for listings, put in when the book is built, so that a page needs no script for them.
//!
//! The classes are those of highlight.js, for which mdBook's themes have colours.

use crate::unbroken_words;
use ra_ap_rustc_lexer::{tokenize, FrontmatterAllowed, LiteralKind, Token, TokenKind};

/// A block of code as HTML, if it holds Rust, commands with their output (`console`), or only
/// commands (`text`).
///
/// Commands are one block and what they print is another, so that a copied command has neither the
/// prompt nor the output.
pub fn block(fence: &str) -> Option<String> {
    let (info, rest) = fence.strip_prefix("```")?.split_once('\n')?;
    let code = rest.strip_suffix("```")?;
    match info.split(',').next()? {
        "rust" => {
            Some(format!("<pre><code class=\"language-rust hljs\">{}</code></pre>", rust(code)))
        }
        "console" => Some(console(code)),
        "text" => {
            Some(console(&code.lines().map(|line| format!("$ {line}\n")).collect::<String>()))
        }
        _ => None,
    }
}

/// Rust code as HTML.
fn rust(code: &str) -> String {
    let mut html = String::new();
    let mut at = 0;
    let mut before = "";
    for token in tokenize(code, FrontmatterAllowed::No) {
        let (text, rest) = code[at..].split_at(token.len as usize);
        at += text.len();
        html += &colored(text, class(&token, text, before, rest));
        if token.kind != TokenKind::Whitespace {
            before = text;
        }
    }
    html
}

/// The class of a token that stands between `before` and `rest`.
fn class(token: &Token, text: &str, before: &str, rest: &str) -> Option<&'static str> {
    match token.kind {
        TokenKind::LineComment { .. } | TokenKind::BlockComment { .. } => Some("comment"),
        TokenKind::Literal {
            kind: LiteralKind::Int { .. } | LiteralKind::Float { .. }, ..
        } => Some("number"),
        TokenKind::Literal { .. } => Some("string"),
        TokenKind::Lifetime { .. } => Some("symbol"),
        TokenKind::Pound if rest.starts_with('[') => Some("meta"),
        TokenKind::Ident if before == "fn" => Some("title"),
        TokenKind::Ident if KEYWORDS.contains(&text) => Some("keyword"),
        TokenKind::Ident if ["true", "false"].contains(&text) => Some("literal"),
        TokenKind::Ident if rest.starts_with('!') && !rest.starts_with("!=") => Some("built_in"),
        TokenKind::Ident if text.starts_with(|c: char| c.is_ascii_uppercase()) => Some("type"),
        _ => None,
    }
}

/// The strict keywords of the Rust Reference, except `true` and `false`, which are values.
const KEYWORDS: [&str; 37] = [
    "as", "async", "await", "break", "const", "continue", "crate", "dyn", "else", "enum", "extern",
    "fn", "for", "if", "impl", "in", "let", "loop", "match", "mod", "move", "mut", "pub", "ref",
    "return", "self", "Self", "static", "struct", "super", "trait", "type", "union", "unsafe",
    "use", "where", "while",
];

fn colored(text: &str, class: Option<&str>) -> String {
    match class {
        Some(class) => format!("<span class=\"hljs-{class}\">{}</span>", escaped(text)),
        None => escaped(text),
    }
}

/// How many characters of a line fit on the page.
const WIDTH: usize = 88;

/// Commands, which begin with a prompt, and their output. The style sheet puts the prompt back.
fn console(code: &str) -> String {
    let is_command = |line: &str| line.starts_with("$ ");
    let lines: Vec<&str> = code.lines().collect();
    let parts = lines.chunk_by(|a, b| is_command(a) == is_command(b));
    let part = |lines: &[&str]| {
        let class = if is_command(lines[0]) { "command" } else { "output" };
        let line = |line: &&str| match line.strip_prefix("$ ") {
            Some(command) => {
                format!("<span class=\"prompt\">{}</span>\n", unbroken_words(command))
            }
            None => escaped(line) + "\n",
        };
        let body: String = lines.iter().map(line).collect();
        // Output that is too wide for the page can be scrolled, with the keyboard too.
        let is_wide = class == "output" && lines.iter().any(|line| line.chars().count() > WIDTH);
        let focus = if is_wide { " tabindex=\"0\"" } else { "" };
        format!("<pre class=\"{class}\"><code class=\"hljs\"{focus}>{body}</code></pre>")
    };
    // Each part begins a line, so that Markdown treats it as HTML in which blank lines are allowed.
    parts.map(part).collect::<Vec<_>>().join("\n")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_word_has_its_class() {
        let code = "#[test]\nfn f<'a>(x: &'a Vec<u8>) -> bool {\n    // Not \"a string\".\n    \
            println!(\"<{}>\", 1.5 + x.len() as f32);\n    x != y && true\n}\n";
        let html = block(&format!("```rust,ignore\n{code}```")).unwrap();
        for part in [
            "<span class=\"hljs-meta\">#</span>[test]",
            "<span class=\"hljs-keyword\">fn</span> <span class=\"hljs-title\">f</span>&lt;",
            "<span class=\"hljs-symbol\">'a</span>&gt;",
            "<span class=\"hljs-type\">Vec</span>&lt;u8&gt;",
            "<span class=\"hljs-comment\">// Not \"a string\".</span>",
            "<span class=\"hljs-built_in\">println</span>!(",
            "<span class=\"hljs-string\">\"&lt;{}&gt;\"</span>",
            "<span class=\"hljs-number\">1.5</span> +",
            "    x != y &amp;&amp; <span class=\"hljs-literal\">true</span>\n",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
        // Without the tags, what is left is the code.
        let text = html.split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| text);
        let text = text.collect::<String>().replace("&lt;", "<").replace("&gt;", ">");
        assert_eq!(text.replace("&amp;", "&"), code);
    }

    #[test]
    fn a_command_can_be_copied_without_its_output() {
        let html = block("```console\n$ cargo run -- --a <b>\none\n$ ls\n```").unwrap();
        assert_eq!(
            html,
            "<pre class=\"command\"><code class=\"hljs\"><span class=\"prompt\">cargo run \
            <span class=\"whole\">&#45;&#45; &#45;&#45;a &#60;b&#62;</span></span>\n</code></pre>\n\
            <pre class=\"output\"><code class=\"hljs\">one\n</code></pre>\n\
            <pre class=\"command\"><code class=\"hljs\"><span class=\"prompt\">ls</span>\n\
            </code></pre>"
        );
    }

    #[test]
    fn text_is_commands() {
        assert_eq!(block("```text\na\n```"), block("```console\n$ a\n```"));
    }

    #[test]
    fn other_blocks_stay_as_they_are() {
        assert_eq!(block("```python\na\n```"), None);
        assert_eq!(block("```\na\n```"), None);
    }
}
