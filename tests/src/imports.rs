//! Finds out which file of a crate imports which, by reading its sources and following modules and
//! paths.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// The segments of a path: either a module's path below the root of its crate, or a path that the
/// code names.
type Segments = Vec<String>;

/// The sources of one crate: its modules, by their paths.
pub struct Sources {
    modules: BTreeMap<Segments, Module>,
    /// Items with any of these attributes are not read.
    left_out: &'static [&'static str],
}

/// The attribute of code that is compiled only for tests.
pub const TESTS: &str = "[cfg(test)]";
/// The attribute of code that a library shares with programs.
pub const PROGRAM: &str = "[cfg(feature=\"program\")]";

/// A module, in a file of its own or inside its parent's.
struct Module {
    file: PathBuf,
    /// The names of the items that it defines.
    defined: BTreeSet<String>,
    /// The names that its `use` statements bring in (`*` for all), and the paths of these names.
    used: Vec<(String, Segments)>,
    /// Every path that its code names. The name of a macro ends with `!`.
    named: Vec<Segments>,
}

impl Sources {
    /// Reads the crate whose root is `file`, without the items that have one of these attributes.
    ///
    /// # Panics
    /// If a file cannot be read, or cannot be split into Rust tokens.
    pub fn read(file: &Path, left_out: &'static [&'static str]) -> Self {
        let mut sources = Self { modules: BTreeMap::new(), left_out };
        let folder = file.parent().expect("a root is in a folder");
        sources.read_file(Vec::new(), file, folder);
        sources
    }

    /// Reads a module whose own modules are files in `folder`.
    fn read_file(&mut self, module: Segments, file: &Path, folder: &Path) {
        let text = std::fs::read_to_string(file)
            .unwrap_or_else(|e| panic!("cannot read {}: {e}", file.display()));
        let tokens: TokenStream =
            text.parse().unwrap_or_else(|e| panic!("{} is not Rust: {e}", file.display()));
        self.add(module.clone(), file);
        self.scan(&Vec::from_iter(tokens), &module, folder);
    }

    fn add(&mut self, module: Segments, file: &Path) {
        let (defined, used, named) = Default::default();
        self.modules.insert(module, Module { file: file.to_path_buf(), defined, used, named });
    }

    fn module(&mut self, path: &[String]) -> &mut Module {
        self.modules.get_mut(path).expect("a module is added before it is read")
    }

    /// Reads the tokens of a module, or of a block in it.
    fn scan(&mut self, mut tokens: &[TokenTree], module: &Segments, folder: &Path) {
        let mut path_attribute = None;
        while let Some(first) = tokens.first() {
            let taken = match (word(first).as_str(), &tokens[1..]) {
                ("#", [TokenTree::Group(attribute), ..]) => {
                    let attribute = attribute.to_string().replace(' ', "");
                    let path =
                        attribute.strip_prefix("[path=\"").map(|path| path.trim_end_matches("\"]"));
                    path_attribute = path.map(PathBuf::from).or(path_attribute);
                    if self.left_out.contains(&attribute.as_str()) {
                        end_of_item(tokens)
                    } else {
                        2
                    }
                }
                ("use", rest) => {
                    let end = rest.iter().position(|token| word(token) == ";").unwrap_or(0);
                    let mut used = Vec::new();
                    use_tree(&rest[..end], &[], &mut used);
                    let named = used.iter().map(|(_, path)| path.clone());
                    self.module(module).named.extend(named);
                    self.module(module).used.extend(used);
                    end + 1
                }
                ("mod", [name, TokenTree::Group(body), ..]) => {
                    let name = word(name);
                    let (inner, file) = (below(module, &name), self.module(module).file.clone());
                    self.add(inner.clone(), &file);
                    self.scan(&inside(body), &inner, &folder.join(name));
                    3
                }
                ("mod", [name, end, ..]) if word(end) == ";" => {
                    let name = word(name);
                    let (file, folder) = match path_attribute.take() {
                        Some(path) => place_by_path(&self.module(module).file, &path),
                        None => place(&name, folder),
                    };
                    self.read_file(below(module, &name), &file, &folder);
                    3
                }
                (word, [name, ..]) if DEFINES.contains(&word) => {
                    self.module(module).defined.insert(self::word(name));
                    1
                }
                (_, _) => match first {
                    TokenTree::Group(group) => {
                        self.scan(&inside(group), module, folder);
                        1
                    }
                    TokenTree::Ident(_) => {
                        let (path, taken) = path(tokens);
                        self.module(module).named.push(path);
                        taken
                    }
                    _ => 1,
                },
            };
            tokens = &tokens[taken.min(tokens.len())..];
        }
    }

    /// Every path that the crate's code names, with its file.
    pub fn named(&self) -> impl Iterator<Item = (&Path, &[String])> {
        self.modules.values().flat_map(|module| {
            module.named.iter().map(|path| (module.file.as_path(), path.as_slice()))
        })
    }

    /// The pairs of files that import each other: each names something that the other defines. A
    /// name that a module re-exports is attributed to the file that defines it.
    ///
    /// A module and those below it are one family, and pairs within a family are left out: children
    /// use what their parent defines, and a parent uses its children.
    pub fn circles(&self) -> BTreeSet<(&Path, &Path)> {
        let imports = self.imports();
        imports.iter().filter(|(a, b)| a < b && imports.contains(&(*b, *a))).copied().collect()
    }

    /// The pairs of files of which the first imports the second.
    fn imports(&self) -> BTreeSet<(&Path, &Path)> {
        let mut imports = BTreeSet::new();
        for (from, module) in &self.modules {
            let paths = module.named.iter().filter_map(|path| self.absolute(from, path));
            for to in paths.map(|path| self.definer(&path, 0).unwrap_or(self.deepest(&path))) {
                let family = to.starts_with(from) || from.starts_with(&to);
                let (from, to) = (module.file.as_path(), self.modules[&to].file.as_path());
                if !family && from != to {
                    imports.insert((from, to));
                }
            }
        }
        imports
    }

    /// The path from the crate's root, if `path`, as written in `module`, is in this crate.
    fn absolute(&self, module: &[String], path: &[String]) -> Option<Segments> {
        let up = path.iter().take_while(|segment| *segment == "super").count();
        let home = &module[..module.len().checked_sub(up)?];
        match path[up..].first().map(String::as_str) {
            Some("crate") => Some(path[1..].to_vec()),
            Some("self") => Some([module, &path[1..]].concat()),
            Some(name) if up > 0 || self.modules.contains_key(&below(home, name)) => {
                Some([home, &path[up..]].concat())
            }
            _ => None,
        }
    }

    /// The module at the beginning of an absolute path.
    fn deepest(&self, path: &[String]) -> Segments {
        let is_module = |path: &&[String]| self.modules.contains_key(*path);
        (0..=path.len()).rev().map(|n| &path[..n]).find(is_module).unwrap_or_default().to_vec()
    }

    /// The module that defines what an absolute path names, once every `use` has been followed.
    fn definer(&self, path: &[String], followed: usize) -> Option<Segments> {
        let home = self.deepest(path);
        let rest = &path[home.len()..];
        let module = &self.modules[&home];
        let Some(name) = rest.first() else { return Some(home) };
        if name == "*" || module.defined.contains(name.trim_end_matches('!')) {
            return Some(home);
        }
        let follow = |to: &[String]| {
            let path = self.absolute(&home, to)?;
            (followed < 8).then(|| self.definer(&path, followed + 1))?
        };
        module.used.iter().find_map(|(brought, to)| match brought.as_str() {
            "*" => follow(&[&to[..to.len() - 1], std::slice::from_ref(name)].concat()),
            brought => (brought == name).then(|| follow(to))?,
        })
    }
}

/// The keywords before the name of an item.
const DEFINES: [&str; 8] = ["fn", "struct", "enum", "union", "trait", "type", "const", "static"];

fn word(token: &TokenTree) -> String {
    match token {
        TokenTree::Ident(_) | TokenTree::Punct(_) => token.to_string(),
        TokenTree::Group(_) | TokenTree::Literal(_) => String::new(),
    }
}

fn inside(group: &Group) -> Vec<TokenTree> {
    group.stream().into_iter().collect()
}

fn below(module: &[String], name: &str) -> Segments {
    [module, &[name.to_string()]].concat()
}

/// The file of a module declared in `folder`, and the folder of the modules below it.
fn place(name: &str, folder: &Path) -> (PathBuf, PathBuf) {
    let (file, inner) = (folder.join(name).with_extension("rs"), folder.join(name));
    (if file.is_file() { file } else { inner.join("mod.rs") }, inner)
}

/// The same for a module with the attribute `path`, declared in the file `parent`.
fn place_by_path(parent: &Path, path: &Path) -> (PathBuf, PathBuf) {
    let file = parent.with_file_name("").join(path);
    let folder = file.with_file_name("");
    (file, folder)
}

/// The number of tokens of the item whose first attribute is at the start of `tokens`.
fn end_of_item(tokens: &[TokenTree]) -> usize {
    let ends = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        other => word(other) == ";",
    };
    tokens.iter().position(ends).map_or(tokens.len(), |at| at + 1)
}

/// The path at the start of `tokens`, and how many tokens it has.
fn path(tokens: &[TokenTree]) -> (Segments, usize) {
    let (mut path, mut taken) = (vec![word(&tokens[0])], 1);
    while let [a, b, TokenTree::Ident(name), ..] = &tokens[taken..] {
        if word(a) != ":" || word(b) != ":" {
            break;
        }
        path.push(name.to_string());
        taken += 3;
    }
    if let [mark, TokenTree::Group(_), ..] = &tokens[taken..] {
        if word(mark) == "!" {
            path.last_mut().expect("it has a segment").push('!');
        }
    }
    (path, taken)
}

/// Adds the names, with their paths, that a `use` tree below `prefix` brings in.
fn use_tree(tokens: &[TokenTree], prefix: &[String], used: &mut Vec<(String, Segments)>) {
    for branch in tokens.split(|token| word(token) == ",") {
        let mut path = prefix.to_vec();
        let mut name = None;
        for (i, token) in branch.iter().enumerate() {
            match (token, word(token).as_str()) {
                (TokenTree::Group(group), _) => use_tree(&inside(group), &path, used),
                (_, "as") => name = branch.get(i + 1).map(word),
                (_, ":") => {}
                (_, "self") if !path.is_empty() => {}
                (_, segment) if name.is_none() => path.push(segment.to_string()),
                _ => {}
            }
        }
        let group = matches!(branch.last(), Some(TokenTree::Group(_)));
        if let (false, Some(last)) = (group || branch.is_empty(), path.last()) {
            used.push((name.unwrap_or_else(|| last.clone()), path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A crate of these files.
    fn sources(files: &[(&str, &str)]) -> (tempfile::TempDir, Sources) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let sources = Sources::read(&folder.path().join(files[0].0), &[TESTS, PROGRAM]);
        (folder, sources)
    }

    fn circles(files: &[(&str, &str)]) -> usize {
        sources(files).1.circles().len()
    }

    #[test]
    fn two_files_that_import_each_other_are_a_circle() {
        let root = ("lib.rs", "mod a; mod b; pub use a::A; pub use self::b::{B, B as C};");
        let a = ("a.rs", "use crate::b::B; pub struct A(B);");
        assert_eq!(circles(&[root, a, ("b.rs", "pub struct B;")]), 0, "one way");
        for back in [
            "use crate::a::A;",
            "use super::a::{self};",
            "use super::{a::A as Other};",
            "use crate::A;",
            "use super::*; fn f() { vec![crate::a::f(1)]; }",
        ] {
            assert_eq!(
                circles(&[root, a, ("b.rs", &format!("{back} pub struct B;"))]),
                1,
                "{back}"
            );
        }
        let by_other_name = ("a.rs", "pub struct A(super::C);");
        assert_eq!(circles(&[root, by_other_name, ("b.rs", "use crate::A; pub struct B;")]), 1);
        let test = "pub struct B; #[cfg(test)] mod tests { use crate::a::A; }";
        assert_eq!(circles(&[root, a, ("b.rs", test)]), 0, "tests may look anywhere");
    }

    #[test]
    fn a_family_is_no_circle_but_cousins_may_be() {
        let family = [
            ("lib.rs", "mod a; pub use a::*; mod c; pub struct Root;"),
            ("a/mod.rs", "mod b; use b::B; pub struct A(B); pub use crate::Root;"),
            ("a/b.rs", "use super::A; use crate::Root; pub struct B;"),
        ];
        let with = |c| [family[0], family[1], family[2], ("c.rs", c)];
        assert_eq!(circles(&with("use crate::A; pub struct C;")), 0);
        let [root, a, _, c] = with("use crate::a::b::B; pub struct C;");
        assert_eq!(circles(&[root, a, ("a/b.rs", "use crate::c::C; pub struct B;"), c]), 1);
    }

    #[test]
    fn every_path_is_seen() {
        let text = "use std::{fs, process::{self, Command}};
            #[cfg(feature = \"program\")] mod session { fn f() { print!(); } }
            fn g() { if x != 3 { println!(\"{}\", std::thread::current()) } }";
        let (_folder, sources) = sources(&[("lib.rs", text)]);
        let named: Vec<String> = sources.named().map(|(_, path)| path.join("::")).collect();
        for path in ["std::fs", "std::process", "std::process::Command", "println!"] {
            assert!(named.iter().any(|named| named == path), "no {path} in {named:?}");
        }
        assert!(named.contains(&"std::thread::current".into()), "{named:?}");
        assert!(!named.contains(&"print!".into()), "{named:?}");
    }
}
