//! Used by mdBook, as its preprocessor, and by tests. Turns the formulas of the book's pages into
//! MathML, which browsers draw without any script.
//!
//! - `$…$` within a line is a formula in the text.
//! - `$$` … `$$` is one on its own, and `$$ {#eq:name}` at its end gives it a number and a name.
//! - `@eq:name` anywhere is a link to it.
//!
//! On a narrow page a formula on its own is broken at `\qquad`, and where it says `\allowbreak`.
//!
//! In code nothing is a formula. A code block loses the indentation that all its lines share, such
//! as that of a method cut out of its `impl`; a command or a signature in running text is
//! broken only between its words, and a path after a slash.
//!
//! A formula that does not parse, a name that is given twice and a link that leads nowhere are
//! errors, reported with page and line.
//!
//! [`font`] makes the font of the formulas, [`live`] adds the interactive figures,
//! [`listings`] names the files that listings are cut from, [`highlight`] colours listings, and
//! [`images`] gives images their sizes.

pub mod card;
pub mod font;
pub mod highlight;
pub mod images;
pub mod listings;
pub mod live;
mod math_table;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use math_core::{LatexToMathML, MathCoreConfig, MathDisplay};
use regex::{Captures, Regex};

/// Something that is wrong on a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Counted from 1.
    pub line: usize,
    pub what: String,
}

/// A page's text, its path below the book's folder, and its number in the book, if it has one.
#[derive(Clone, Debug)]
pub struct Page {
    pub path: String,
    pub number: Option<String>,
    pub text: String,
}

/// Where an equation is: page and printed number.
type Places = BTreeMap<String, (String, String)>;

/// Replaces the formulas of all pages.
///
/// # Errors
/// Everything that is wrong, as `path:line: what`.
pub fn render(pages: &mut [Page]) -> Result<(), Vec<String>> {
    let converter =
        LatexToMathML::new(MathCoreConfig::default()).expect("the default configuration is valid");
    let mut problems = Vec::new();
    let mut places = Places::new();
    for page in pages.iter() {
        let mut count = 0;
        for (line, name) in names(&page.text) {
            count += 1;
            let number = match &page.number {
                Some(chapter) => format!("{chapter}.{count}"),
                None => count.to_string(),
            };
            if let Some((other, _)) = places.insert(name.clone(), (page.path.clone(), number)) {
                problems.push(format!("{}:{line}: eq:{name} is already on {other}", page.path));
            }
        }
    }
    for page in pages {
        match render_page(&converter, &places, &page.path, &page.text) {
            Ok(text) => page.text = text,
            Err(found) => problems
                .extend(found.iter().map(|p| format!("{}:{}: {}", page.path, p.line, p.what))),
        }
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(problems),
    }
}

/// The parts of a page.
enum Part<'a> {
    Text(&'a str),
    Code(&'a str),
    Inline(&'a str),
    Display { latex: &'a str, name: Option<&'a str> },
}

/// Cuts a page into parts, each with its line.
fn parts(text: &str) -> Result<Vec<(usize, Part<'_>)>, Problem> {
    let mut parts = Vec::new();
    let (mut start, mut at) = (0, 0);
    let line_of = |at: usize| text[..at].matches('\n').count() + 1;
    let bytes = text.as_bytes();
    let unclosed = |at: usize, what: &str| Problem {
        line: line_of(at),
        what: format!("{what} is not closed"),
    };
    while at < text.len() {
        let rest = &text[at..];
        let line_start = at == 0 || bytes[at - 1] == b'\n';
        let end = if line_start && is_fence(rest) {
            let fence =
                rest.trim_start().chars().take_while(|&c| c == '`' || c == '~').collect::<String>();
            let body = rest.find('\n').ok_or_else(|| unclosed(at, "a code block"))?;
            let closing = rest[body..]
                .find(&format!("\n{fence}"))
                .ok_or_else(|| unclosed(at, "a code block"))?;
            Some((at + body + closing + 1 + fence.len(), None))
        } else if rest.starts_with('`') {
            let ticks = rest.bytes().take_while(|&b| b == b'`').count();
            let closing = rest[ticks..].find(&rest[..ticks]).ok_or_else(|| unclosed(at, "code"))?;
            Some((at + ticks + closing + ticks, None))
        } else if rest.starts_with("\\$") {
            at += 2;
            continue;
        } else if let Some(tail) = rest.strip_prefix("$$") {
            let closing = tail.find("$$").ok_or_else(|| unclosed(at, "$$"))?;
            let after = &tail[closing + 2..];
            let (name, used) =
                match after.strip_prefix(" {#eq:").and_then(|tail| tail.split_once('}')) {
                    Some((name, _)) => (Some(name), " {#eq:".len() + name.len() + 1),
                    None => (None, 0),
                };
            Some((at + closing + 4 + used, Some(Part::Display { latex: &tail[..closing], name })))
        } else if let Some(tail) = rest.strip_prefix('$') {
            let closing = tail.find('$').ok_or_else(|| unclosed(at, "$"))?;
            let latex = &tail[..closing];
            if latex.contains("\n\n") {
                return Err(unclosed(at, "$"));
            }
            Some((at + closing + 2, Some(Part::Inline(latex))))
        } else {
            None
        };
        match end {
            None => at += rest.chars().next().expect("there is text left").len_utf8(),
            Some((end, part)) => {
                if start < at {
                    parts.push((line_of(start), Part::Text(&text[start..at])));
                }
                parts.push((line_of(at), part.unwrap_or(Part::Code(&text[at..end]))));
                (start, at) = (end, end);
            }
        }
    }
    if start < text.len() {
        parts.push((line_of(start), Part::Text(&text[start..])));
    }
    Ok(parts)
}

fn is_fence(line: &str) -> bool {
    let line = line.trim_start_matches(' ');
    line.starts_with("```") || line.starts_with("~~~")
}

/// The names of the equations on a page, with their lines.
fn names(text: &str) -> Vec<(usize, String)> {
    let named = |(line, part): (usize, Part)| match part {
        Part::Display { name: Some(name), .. } => Some((line, name.to_string())),
        _ => None,
    };
    parts(text).unwrap_or_default().into_iter().filter_map(named).collect()
}

fn render_page(
    converter: &LatexToMathML,
    places: &Places,
    path: &str,
    text: &str,
) -> Result<String, Vec<Problem>> {
    let mut out = String::new();
    let mut problems = Vec::new();
    let mut parts = parts(text).map_err(|problem| vec![problem])?.into_iter().peekable();
    while let Some((line, part)) = parts.next() {
        let mut convert =
            |latex: &str, display| match converter.convert_with_local_state(latex, display) {
                Ok(result) => level(&colored(&result.mathml)),
                Err(error) => {
                    problems.push(Problem {
                        line,
                        what: format!("{} in: {}", error.error_message(), latex.trim()),
                    });
                    String::new()
                }
            };
        match part {
            Part::Code(code) if is_fence(code) => {
                let code = flush_left(code);
                out += &highlight::block(&code).unwrap_or(code);
            }
            Part::Code(code) if breaks_badly(code) => {
                out += &whole_words(code.trim_matches('`'));
            }
            Part::Code(code) => out += code,
            Part::Inline(latex) => {
                // Browsers would break the line between a formula and the comma after it, or the
                // bracket before it.
                let bracket = if out.ends_with('(') { "(" } else { "" };
                let mut mark = "";
                if let Some((_, Part::Text(next))) = parts.peek_mut() {
                    (mark, *next) = next.split_at(
                        next.len() - next.trim_start_matches([',', '.', ';', ':', '?', ')']).len(),
                    );
                }
                let math = convert(latex, MathDisplay::Inline);
                out.truncate(out.len() - bracket.len());
                out += &if bracket.is_empty() && mark.is_empty() {
                    math
                } else {
                    format!("<span class=\"whole\">{bracket}{math}{mark}</span>")
                };
            }
            Part::Display { latex, name } => {
                let mut math = String::new();
                for sentence in latex.split("\\qquad") {
                    let pieces: Vec<&str> = sentence.split("\\allowbreak").collect();
                    for (i, piece) in pieces.iter().enumerate() {
                        // An operator at the start of a later piece is binary, so it keeps its
                        // spaces.
                        let front = if i == 0 { "" } else { "{}" };
                        let piece = convert(&format!("{front}{piece}"), MathDisplay::Block);
                        let piece = within_math(&piece).replacen(
                            "<mrow></mrow><mo",
                            "<mo form=\"infix\"",
                            1,
                        );
                        let class = match (i == 0, i + 1 == pieces.len()) {
                            (true, true) => " class=\"sentence end\"",
                            (true, false) => " class=\"sentence\"",
                            (false, true) => " class=\"end\"",
                            (false, false) => "",
                        };
                        math += &format!("<mrow{class}>{piece}</mrow>");
                    }
                }
                let math = format!("<math display=\"block\">{math}</math>");
                // Browsers and Markdown need the equation on one line.
                match name {
                    Some(name) => {
                        let number = &places[name].1;
                        out += &format!(
                            "<div class=\"equation\" id=\"eq-{name}\">{math}\
                            <a href=\"#eq-{name}\">({number})</a></div>"
                        );
                    }
                    None => out += &format!("<div class=\"equation\">{math}</div>"),
                }
            }
            Part::Text(text) => match linked(places, path, text) {
                Ok(text) => out += &together(&text),
                Err((offset, what)) => {
                    problems
                        .push(Problem { line: line + text[..offset].matches('\n').count(), what });
                }
            },
        }
    }
    match problems.is_empty() {
        true => Ok(out),
        false => Err(problems),
    }
}

/// A formula without the element that encloses it.
fn within_math(mathml: &str) -> &str {
    let inner = mathml.split_once('>').and_then(|(_, rest)| rest.strip_suffix("</math>"));
    inner.unwrap_or_default()
}

/// Whether this is a command, a signature or a path, which browsers would break at every hyphen.
fn breaks_badly(code: &str) -> bool {
    code.starts_with("`cargo ")
        || code.contains("--")
        || code.contains("->")
        || code.contains('/') && !code.contains(' ')
}

/// Code in running text, with breaks only between words and after a slash; on a narrow page, a long
/// word can also be broken after an opening angle bracket.
fn whole_words(code: &str) -> String {
    format!("<code class=\"hljs\">{}</code>", unbroken_words(code))
}

/// The words of code, as HTML. A short flag stays with its value, and `--` with what follows.
fn unbroken_words(code: &str) -> String {
    let mut groups: Vec<String> = Vec::new();
    for word in code.split(' ') {
        match groups.last_mut() {
            Some(group) if belongs_to(word, group) => *group += &format!(" {word}"),
            _ => groups.push(word.to_string()),
        }
    }
    groups.iter().map(|group| whole(group)).collect::<Vec<_>>().join(" ")
}

fn belongs_to(word: &str, group: &str) -> bool {
    let last = group.rsplit(' ').next().unwrap_or(group);
    let has_value = last.starts_with('-') && last != "--" && !word.starts_with('-');
    let fits = group.len() + 1 + word.len() <= NARROWEST;
    fits && (group == "--" || has_value)
}

/// How many characters of code fit in the narrowest column.
const NARROWEST: usize = 32;

/// A word that browsers must not break, as HTML.
fn whole(word: &str) -> String {
    if word.chars().count() > NARROWEST || word.contains('/') && !word.contains(' ') {
        let parts = word.split_inclusive(['/', '<']).map(|part| {
            let may_break = match part.chars().last() {
                Some('/') => "<wbr>",
                Some('<') => "<wbr class=\"narrow\">",
                _ => "",
            };
            unbroken(part) + may_break
        });
        return parts.collect();
    }
    unbroken(word)
}

fn unbroken(word: &str) -> String {
    // Markdown does not see this as code, so it would turn hyphens into dashes.
    let escaped = |c: char| match c.is_ascii_punctuation() {
        true => format!("&#{};", c as u32),
        false => c.to_string(),
    };
    let html: String = word.chars().map(escaped).collect();
    match word.contains(|c: char| c.is_ascii_punctuation()) {
        true => format!("<span class=\"whole\">{html}</span>"),
        false => html,
    }
}

/// What must stay together on a line: a word with its share, and with what that is a share of or
/// compared with; a number with its spread, its per cent sign, the other end of its range or the
/// word that it numbers.
const TOGETHER: [&str; 6] = [
    r"\pL+ [\d.]+ ± [\d.]+ % (\(|of )\d",
    r" ± ",
    r"\d %",
    r"% \(\d",
    r"\d to −?\d",
    r"([cC]hapter|[sS]ection|[eE]quation|[aA]lgorithm|[tT]imestep|[sS]cale| eta) \d",
];

/// Text in which negative numbers have a minus sign, and line breaks do not part what is in
/// [`TOGETHER`].
fn together(text: &str) -> String {
    static PATTERNS: LazyLock<(Regex, [Regex; 6])> = LazyLock::new(|| {
        let pattern = |pattern| Regex::new(pattern).expect("it is tested");
        (pattern(r"([ (\[\n])-(\d)"), TOGETHER.map(pattern))
    });
    let (negative, together) = &*PATTERNS;
    let text = negative.replace_all(text, "$1−$2").into_owned();
    together.iter().fold(text, |text, pattern| {
        let joined = |found: &Captures| found[0].replace(' ', "\u{a0}");
        pattern.replace_all(&text, joined).into_owned()
    })
}

/// A block of code without the indentation that all its lines share; other code as it is.
fn flush_left(code: &str) -> String {
    let lines: Vec<&str> = code.split('\n').collect();
    let [open, body @ .., close] = lines.as_slice() else { return code.into() };
    let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let Some(common) = body.iter().filter(|line| !line.is_empty()).map(|line| indent(line)).min()
    else {
        return code.into();
    };
    let body = body.iter().flat_map(|line| [line.get(common..).unwrap_or(""), "\n"]);
    [*open, "\n"].into_iter().chain(body).chain([*close]).collect()
}

/// Text with links in place of `@eq:name`.
fn linked(places: &Places, path: &str, text: &str) -> Result<String, (usize, String)> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("@eq:") {
        let tail = &rest[at + 4..];
        let end =
            tail.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).unwrap_or(tail.len());
        let name = &tail[..end];
        let Some((page, number)) = places.get(name) else {
            return Err((text.len() - rest.len() + at, format!("there is no equation eq:{name}")));
        };
        let page = if page == path { "" } else { page };
        out += &format!("{}[({number})]({page}#eq-{name})", &rest[..at]);
        rest = &tail[end..];
    }
    Ok(out + rest)
}

/// Symbols with a colour of their own throughout the book: a network's output, noise, the clean
/// image.
const COLORED: [(&str, &str); 6] = [
    ("<msub><mi>ϵ</mi><mi>θ</mi></msub>", "network"),
    ("<msub><mi>x</mi><mi>θ</mi></msub>", "network"),
    ("<msub><mi>μ</mi><mi>θ</mi></msub>", "network"),
    ("<msub><mi>v</mi><mi>θ</mi></msub>", "network"),
    ("<mi>ϵ</mi>", "noise"),
    ("<msub><mi>x</mi><mn>0</mn></msub>", "signal"),
];

/// MathML in which these symbols have a class.
fn colored(mathml: &str) -> String {
    let mut out = String::new();
    let mut rest = mathml;
    'rest: while !rest.is_empty() {
        for (symbol, class) in COLORED {
            if let Some(tail) = rest.strip_prefix(symbol) {
                let (open, inner) = symbol.split_once('>').expect("it is an element");
                out += &format!("{open} class=\"{class}\">{inner}");
                rest = tail;
                continue 'rest;
            }
        }
        let next = rest.chars().next().expect("there is text left").len_utf8();
        out += &rest[..next];
        rest = &rest[next..];
    }
    out
}

/// Letters that reach below the line.
const DESCENDING: &str = "βγηλμρφχψζξfgjpqyQ";

/// MathML in which the subscripts of all letters hang equally low: browsers hang a subscript
/// lower if its letter reaches below the line.
fn level(mathml: &str) -> String {
    let mut out = String::new();
    let mut rest = mathml;
    while let Some(at) = rest.find("<msub") {
        let base = at + rest[at..].find('>').expect("it is an element") + 1;
        out += &rest[..base];
        rest = &rest[base..];
        let accented = rest.strip_prefix("<mover accent=\"true\">");
        if reaches_below(accented.unwrap_or(rest)) {
            let close = if accented.is_some() { "</mover>" } else { "</m" };
            let close = rest.find(close).expect("it is an element");
            let end = close + rest[close..].find('>').expect("it is closed") + 1;
            out += &format!("<mpadded depth=\"0\">{}</mpadded>", &rest[..end]);
            rest = &rest[end..];
        }
    }
    out + rest
}

/// Whether MathML begins with a letter or a name that reaches below the line.
fn reaches_below(mathml: &str) -> bool {
    let is_name = mathml.starts_with("<mi") || mathml.starts_with("<mo");
    let name = mathml.split(['<', '>']).nth(2).unwrap_or_default();
    is_name && name.contains(|c| DESCENDING.contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Result<String, Vec<String>> {
        let mut pages = [Page { path: "a.md".into(), number: Some("3".into()), text: text.into() }];
        render(&mut pages).map(|()| pages[0].text.clone())
    }

    #[test]
    fn formulas_become_mathml() {
        let text = one("Here $x_t$ is.\n\n$$\na = b\n$$ {#eq:first}\n\nSee @eq:first.").unwrap();
        assert!(
            text.starts_with("Here <math><msub><mi>x</mi><mi>t</mi></msub></math> is."),
            "{text}"
        );
        assert_eq!(
            one("($a$), b").unwrap(),
            "<span class=\"whole\">(<math><mi>a</mi></math>),</span> b"
        );
        assert!(
            text.contains("<div class=\"equation\" id=\"eq-first\"><math display=\"block\"><mrow"),
            "{text}"
        );
        assert!(text.contains("<a href=\"#eq-first\">(3.1)</a></div>"), "{text}");
        assert!(text.ends_with("See [(3.1)](#eq-first)."), "{text}");
    }

    #[test]
    fn a_wide_formula_is_in_pieces() {
        let text = one("$$ a = b \\allowbreak + c \\qquad d $$").unwrap();
        assert_eq!(text.matches("<math").count(), 1, "{text}");
        let pieces: Vec<&str> = text.split("<mrow").skip(1).collect();
        let sentences: Vec<bool> =
            pieces.iter().map(|piece| piece.starts_with(" class=\"sentence")).collect();
        assert_eq!(sentences, [true, false, true], "{text}");
        assert!(pieces[1].starts_with(" class=\"end\"><mo form=\"infix\">+"), "{text}");
    }

    #[test]
    fn links_cross_pages() {
        let page = |path: &str, number: &str, text: &str| Page {
            path: path.into(),
            number: Some(number.into()),
            text: text.into(),
        };
        let mut pages = [
            page("a.md", "1", "as in @eq:there"),
            page("b.md", "2", "$$x$$ {#eq:here} $$y$$ {#eq:there}"),
        ];
        render(&mut pages).unwrap();
        assert_eq!(pages[0].text, "as in [(2.2)](b.md#eq-there)");
    }

    #[test]
    fn code_and_money_are_left_alone() {
        let text = "`$HOME` costs \\$5\n\n```sh\necho $a $b\n```\n\n``a ` $b``\n";
        assert_eq!(one(text).unwrap(), text);
    }

    #[test]
    fn commands_and_signatures_are_broken_between_words() {
        let text = one("run `a --b` or `c d`\n\n```sh\ne --f\n```\n").unwrap();
        let (flag, rest) = text.split_once(" or ").unwrap();
        let word = |text: &str| format!("<span class=\"whole\">{text}</span>");
        assert_eq!(flag, format!("run <code class=\"hljs\">a {}</code>", word("&#45;&#45;b")));
        assert_eq!(rest, "`c d`\n\n```sh\ne --f\n```\n");
        assert!(one("`f(x: f32) -> f64`").unwrap().contains(&word("&#45;&#62; f64")));
        let flags = one("`a -- --e 3 --b 1 --c --d 2`").unwrap();
        assert!(flags.contains(&word("&#45;&#45; &#45;&#45;e 3")), "{flags}");
        assert!(flags.contains(&word("&#45;&#45;b 1")), "{flags}");
        assert!(flags.contains(&word("&#45;&#45;c")), "{flags}");
        let path = [word("a&#45;b&#47;"), word("c&#46;d")].join("<wbr>");
        assert_eq!(one("`a-b/c.d`").unwrap(), format!("<code class=\"hljs\">{path}</code>"));
    }

    #[test]
    fn subscripts_are_level() {
        let text = one("$\\beta_t, \\alpha_t, \\tilde\\mu_i^2, \\log_2$").unwrap();
        assert!(text.contains("<msub><mpadded depth=\"0\"><mi>β</mi></mpadded><mi>t"), "{text}");
        assert!(text.contains("<msub><mi>α</mi><mi>t"), "{text}");
        assert!(text.contains("<msubsup><mpadded depth=\"0\"><mover"), "{text}");
        assert!(text.contains("</mover></mpadded><mi>i"), "{text}");
        assert!(text.contains("log</mo></mpadded><mn>2"), "{text}");
    }

    #[test]
    fn numbers_stay_with_what_belongs_to_them() {
        let text = "21.3 ± 3.8 %, [chapter 9](ch09.md), section 3.2, -1 to 0.5, a % of\n\n\
            `1 %`; grey 1.5 ± 2 % (3), red 4 ± 5 % of 6";
        let text = one(text).unwrap();
        let together = "21.3\u{a0}±\u{a0}3.8\u{a0}%, [chapter\u{a0}9](ch09.md), \
            section\u{a0}3.2, −1\u{a0}to\u{a0}0.5, a % of\n\n\
            `1 %`; grey\u{a0}1.5\u{a0}±\u{a0}2\u{a0}%\u{a0}(3), \
            red\u{a0}4\u{a0}±\u{a0}5\u{a0}%\u{a0}of\u{a0}6";
        assert_eq!(text, together);
    }

    #[test]
    fn a_method_is_flush_left() {
        let text = "```cpp\n    int f() {\n        1\n\n    }\n```\n\n  `a  b`\n";
        assert_eq!(one(text).unwrap(), "```cpp\nint f() {\n    1\n\n}\n```\n\n  `a  b`\n");
    }

    #[test]
    fn symbols_have_colours() {
        let text = one("$\\epsilon_\\theta - \\epsilon + x_0$").unwrap();
        assert!(text.contains("<msub class=\"network\"><mi>ϵ</mi>"), "{text}");
        assert!(text.contains("<mi class=\"noise\">ϵ</mi>"), "{text}");
        assert!(text.contains("<msub class=\"signal\"><mi>x</mi>"), "{text}");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, problem) in [
            ("one\n\n$\\frac{1}{$", "a.md:3: Expected"),
            ("\n$\\nosuch$", "a.md:2: Unknown command"),
            ("a\nsee @eq:nowhere", "a.md:2: there is no equation eq:nowhere"),
            ("$a$\n$b", "a.md:2: $ is not closed"),
            ("```\nnever", "a.md:1: a code block is not closed"),
            ("$$a$$ {#eq:x}\n\n$$b$$ {#eq:x}", "a.md:3: eq:x is already on a.md"),
        ] {
            let problems = one(text).unwrap_err();
            assert!(problems[0].starts_with(problem), "{problems:?} for {text:?}");
        }
    }
}
