//! Runs notebooks as the evcxr kernel does, without Jupyter.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{anyhow, bail, ensure, Context, Result};
use evcxr::CommandContext;
use serde_json::{json, Map, Value};

/// What a code cell did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// What it printed.
    pub printed: String,
    /// What its last value looks like, by MIME type.
    pub shown: Map<String, Value>,
}

/// The folder that holds the notebooks.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The notebooks, in order.
///
/// # Errors
/// If the folder cannot be read.
pub fn notebooks() -> Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "ipynb") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The chapters that have a crate, `ch01` first: each has a notebook of the same name.
///
/// # Errors
/// If the folder of the crates cannot be read.
pub fn chapters() -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder().join("../chapters-code"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some((chapter, _)) = name.split_once('-').filter(|_| name.starts_with("ch")) {
            found.push(chapter.to_string());
        }
    }
    found.sort();
    Ok(found)
}

/// A kernel that runs in the folder of the notebooks.
pub struct Kernel {
    context: CommandContext,
    said: Arc<Mutex<Said>>,
}

/// The output of the cells since it was last taken.
#[derive(Default)]
struct Said {
    printed: Vec<String>,
    complaints: Vec<String>,
}

impl Kernel {
    /// A kernel that knows nothing yet. `main` must have called [`evcxr::runtime_hook`] first.
    ///
    /// # Errors
    /// If there is no Rust compiler, or the folder of the notebooks cannot be entered.
    pub fn start() -> Result<Self> {
        // Paths in `:dep` are relative to this folder.
        std::env::set_current_dir(folder())?;
        let (context, outputs) = CommandContext::new()?;
        let said = Arc::new(Mutex::new(Said::default()));
        // A cell ends when all its output has been taken, so another thread takes it while the cell
        // runs. What is taken is stored before the lock is released, so nothing is still on its way
        // when the cell has ended.
        let notes = Arc::downgrade(&said);
        std::thread::spawn(move || {
            while let Some(said) = notes.upgrade() {
                let mut said = said.lock().expect("no thread panicked");
                said.printed.extend(outputs.stdout.try_iter());
                said.complaints.extend(outputs.stderr.try_iter());
                drop(said);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Ok(Self { context, said })
    }

    /// Runs one cell.
    ///
    /// # Errors
    /// If it panics, stops with an error at a `?`, or does not compile.
    pub fn run(&mut self, code: &str) -> Result<Output> {
        let result = self.context.execute(code);
        // Another thread of evcxr delivers complaints a moment later.
        std::thread::sleep(Duration::from_millis(100));
        let Said { printed, complaints } =
            std::mem::take(&mut *self.said.lock().expect("no thread panicked"));
        let failed =
            |what: String| anyhow!("{what}\n{}\nin the cell\n{code}", complaints.join("\n"));
        let done = result.map_err(|error| match &error {
            evcxr::Error::CompilationErrors(errors) => {
                let whole = |e: &evcxr::CompilationError| {
                    if e.rendered().is_empty() {
                        e.message()
                    } else {
                        e.rendered()
                    }
                };
                failed(errors.iter().map(whole).collect::<Vec<_>>().join("\n"))
            }
            other => failed(other.to_string()),
        })?;
        // evcxr does not treat it as an error if a cell panics or stops with an error at a `?`: it
        // forgets what the cell made, and says why on standard error. No cell of ours has anything
        // else to say there.
        if !complaints.is_empty() {
            return Err(failed("the cell failed".into()));
        }
        let mut shown = Map::new();
        let mut content: Vec<_> = done.content_by_mime_type.into_iter().collect();
        content.sort();
        for (mime_type, text) in content {
            shown.insert(mime_type, Value::String(text));
        }
        let printed = printed.iter().map(|line| format!("{line}\n")).collect();
        Ok(Output { printed, shown })
    }
}

/// A notebook's cells, and everything else that its file holds.
pub struct Notebook {
    path: PathBuf,
    json: Value,
}

impl Notebook {
    /// Reads a notebook.
    ///
    /// # Errors
    /// If the file cannot be read, or is not a notebook.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let json: Value =
            serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        ensure!(json["cells"].is_array(), "{}: not a notebook (it has no cells)", path.display());
        Ok(Self { path: path.to_path_buf(), json })
    }

    fn code_cells(&mut self) -> impl Iterator<Item = (usize, &mut Value)> {
        let cells = self.json["cells"].as_array_mut().expect("`read` looked");
        cells.iter_mut().enumerate().filter(|(_, cell)| cell["cell_type"] == "code")
    }

    /// Runs it from the top, compares the output of its cells with the output stored in it, and
    /// returns every difference.
    ///
    /// # Errors
    /// If a cell fails.
    pub fn check(&mut self) -> Result<Vec<String>> {
        let mut kernel = Kernel::start()?;
        let name = self
            .path
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let mut differences = Vec::new();
        for (number, cell) in self.code_cells() {
            let made = kernel
                .run(&text(&cell["source"]))
                .with_context(|| format!("{name}, cell {number}"))?;
            let written =
                written(&cell["outputs"]).with_context(|| format!("{name}, cell {number}"))?;
            if let Some(difference) = difference(&written, &made) {
                differences.push(format!("{name}, cell {number}: {difference}"));
            }
        }
        Ok(differences)
    }

    /// Runs it from the top and writes the output of its cells into the file.
    ///
    /// # Errors
    /// If a cell fails or the file cannot be written; the file is then left unchanged.
    pub fn remake(&mut self) -> Result<()> {
        let mut kernel = Kernel::start()?;
        let mut count = 0;
        let name = self.path.display().to_string();
        for (number, cell) in self.code_cells() {
            let made = kernel
                .run(&text(&cell["source"]))
                .with_context(|| format!("{name}, cell {number}"))?;
            count += 1;
            cell["execution_count"] = json!(count);
            cell["outputs"] = outputs(&made, count);
        }
        let text = serde_json::to_string_pretty(&self.json)? + "\n";
        let new = self.path.with_extension("ipynb.new");
        std::fs::write(&new, text)?;
        Ok(std::fs::rename(new, &self.path)?)
    }
}

/// Text as notebooks store it: whole, or line by line.
fn text(value: &Value) -> String {
    match value {
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        other => other.as_str().unwrap_or_default().to_string(),
    }
}

fn lines(text: &str) -> Value {
    text.split_inclusive('\n').collect()
}

/// A cell's outputs as a notebook holds them.
fn outputs(made: &Output, count: usize) -> Value {
    let mut outputs = Vec::new();
    if !made.printed.is_empty() {
        outputs
            .push(json!({"name": "stdout", "output_type": "stream", "text": lines(&made.printed)}));
    }
    if !made.shown.is_empty() {
        let stored = |(mime_type, value): (&String, &Value)| {
            let binary = mime_type.starts_with("image/") && mime_type != "image/svg+xml";
            let value = if binary { value.clone() } else { lines(&text(value)) };
            (mime_type.clone(), value)
        };
        let data: Map<String, Value> = made.shown.iter().map(stored).collect();
        outputs.push(json!({
            "data": data,
            "execution_count": count,
            "metadata": {},
            "output_type": "execute_result"
        }));
    }
    Value::Array(outputs)
}

/// The outputs that a notebook holds.
fn written(outputs: &Value) -> Result<Output> {
    let mut output = Output::default();
    for part in outputs.as_array().context("no outputs")? {
        match part["output_type"].as_str() {
            Some("stream") if part["name"] == "stdout" => output.printed += &text(&part["text"]),
            Some("stream") => {} // what compilers say while they work
            Some("execute_result" | "display_data") => {
                for (mime_type, value) in
                    part["data"].as_object().context("an output without data")?
                {
                    output.shown.insert(mime_type.clone(), Value::String(text(value)));
                }
            }
            _ => bail!("an output that is an error: {part}"),
        }
    }
    Ok(output)
}

/// How two outputs differ, if they do. The bytes of pictures may differ, because processors round
/// differently.
fn difference(written: &Output, made: &Output) -> Option<String> {
    let kinds = |output: &Output| output.shown.keys().cloned().collect::<Vec<_>>();
    if kinds(written) != kinds(made) {
        return Some(format!("shows {:?}, but {:?} is written", kinds(made), kinds(written)));
    }
    let plain = |output: &Output| output.shown.get("text/plain").map(text).unwrap_or_default();
    [(&written.printed, &made.printed), (&plain(written), &plain(made))]
        .into_iter()
        .find(|(old, new)| !alike(old, new))
        .map(|(old, new)| format!("says\n{new}\nbut this is written\n{old}"))
}

/// Whether two texts have the same words, and numbers that are close.
fn alike(a: &str, b: &str) -> bool {
    let (a, b): (Vec<&str>, Vec<&str>) = (pieces(a), pieces(b));
    a.len() == b.len()
        && a.iter().zip(&b).all(|(a, b)| match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(x), Ok(y)) => (x - y).abs() <= 1e-3 + 1e-2 * x.abs().max(y.abs()),
            _ => a == b,
        })
}

/// Words, numbers and signs.
fn pieces(text: &str) -> Vec<&str> {
    let part = |c: char| c.is_alphanumeric() || c == '.' || c == '-' || c == '_';
    text.split_whitespace()
        .flat_map(|word| word.split_inclusive(|c| !part(c)))
        .flat_map(split_sign)
        .collect()
}

/// `"3.5,"` as `"3.5"` and `","`.
fn split_sign(word: &str) -> Vec<&str> {
    let end = word.trim_end_matches(|c: char| !(c.is_alphanumeric() || c == '_')).len();
    [&word[..end], &word[end..]].into_iter().filter(|piece| !piece.is_empty()).collect()
}
