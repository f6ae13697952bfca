//! The table.

use std::fmt::Write;

use crate::peer::Result;
use crate::Task;

/// One line of the table.
pub struct Row {
    pub name: &'static str,
    pub task: Task,
    pub batch: usize,
    /// The multiplications and additions that one step spends on convolutions, linear maps and
    /// attention.
    pub work: f64,
    pub ours: Result,
    /// Ours, with one thread.
    pub single: Result,
    pub theirs: Option<Result>,
}

impl Row {
    /// The speed of our side relative to that of PyTorch; if our side runs alone, its steps per
    /// second.
    pub fn speed(&self) -> f64 {
        self.theirs.map_or(1.0, |theirs| theirs.seconds) / self.ours.seconds
    }
}

const MIB: f64 = 1024.0 * 1024.0;

/// A row of the Markdown table.
pub fn line(row: &Row) -> String {
    let task = match row.task {
        Task::Train => "training step",
        Task::Sample => "sampling step",
    };
    let ms = |r: &Result| format!("{:.2}", r.seconds * 1e3);
    let rate = |r: &Result| format!("{:.0}", row.work / r.seconds / 1e9);
    let memory =
        |r: &Result| r.peak_memory.map_or("-".into(), |bytes| format!("{:.0}", bytes as f64 / MIB));
    let theirs = |f: &dyn Fn(&Result) -> String| row.theirs.as_ref().map_or("-".into(), f);
    let speed = theirs(&|_| format!("{:.2}", row.speed()));
    let memory_ratio = theirs(&|t| match (row.ours.peak_memory, t.peak_memory) {
        (Some(ours), Some(theirs)) => format!("{:.2}", ours as f64 / theirs as f64),
        _ => "-".into(),
    });
    format!(
        "| {} | {task}, {} | {} | {} | **{speed}** | {} | {} | {} | {} | {memory_ratio} | {:.2} |",
        row.name,
        row.batch,
        ms(&row.ours),
        theirs(&ms),
        rate(&row.ours),
        theirs(&rate),
        memory(&row.ours),
        theirs(&memory),
        row.single.seconds / row.ours.seconds,
    )
}

/// The Markdown table, with the machine that the times were measured on.
pub fn table(rows: &[Row], threads: usize, turns: u32, runs: u32, versions: &str) -> String {
    let mut text = String::new();
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = processor.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_string())
    };
    let model = field("model name").unwrap_or_else(|| "unknown".into());
    let flags = field("flags").unwrap_or_default();
    let vectors = ["avx512f", "avx2"]
        .into_iter()
        .find(|f| flags.split(' ').any(|g| g == *f))
        .unwrap_or("neither avx2 nor avx512f");
    writeln!(
        text,
        "Processor: {model} ({vectors}), {threads} threads. Each time is the median of {turns} \
        alternating turns. Of {runs} runs, each row shows the one with the median ratio. \
        {versions}\n"
    )
    .unwrap();
    text += "| network | what, images | ms | PyTorch ms | speed / PyTorch | GFLOP/s | PyTorch \
        GFLOP/s | peak MiB | PyTorch peak MiB | memory / PyTorch | speed / one thread |\n";
    text += "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n";
    for row in rows {
        text += &line(row);
        text.push('\n');
    }
    text += "\nGFLOP/s count the multiplications and additions of a direct convolution, so a \
        method that needs fewer can show more than the processor's peak.\n";
    text
}
