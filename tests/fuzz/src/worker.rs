//! One process that reads inputs, one after another, and records what became of them.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{catch_unwind, set_hook, AssertUnwindSafe, PanicHookInfo};
use std::path::{Path, PathBuf};
use std::process::exit;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use ch01_tensors::Color;
use rustix::time::{clock_gettime, ClockId};
use serde::{Deserialize, Serialize};

use crate::memory;
use crate::mutate::Mutator;
use crate::targets::{Run, Target};

/// How many bytes of memory an input may take.
pub const MOST_MEMORY: usize = 256 << 20;

/// How many seconds of processor time an input may take.
const MOST_SECONDS: f64 = 1.0;

/// Wall-clock time after which a process is ended if it is still reading the same input.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many inputs are kept for each fault.
const KEPT: u64 = 3;

/// How many attempts are made to shorten an input that fails.
const TRIES: usize = 300;

/// Inputs between two reports.
const INTERVAL: u64 = 2_000;

/// What a worker is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    pub target: String,
    pub seed: u64,
    /// Number of the first input.
    pub first: u64,
    /// Number of the input after the last one.
    pub end: u64,
    /// A folder for the worker alone.
    pub folder: PathBuf,
    /// The folder for inputs that fail.
    pub failures: PathBuf,
}

/// What became of some inputs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    pub inputs: u64,
    pub accepted: u64,
    pub seconds: f64,
    /// The most bytes that one input took.
    pub memory: usize,
    /// The most CPU time that one input took, in seconds.
    pub slowest: f64,
    /// How many inputs failed, for each kind of fault.
    pub faults: BTreeMap<String, u64>,
}

impl Report {
    /// Adds another report.
    pub fn add(&mut self, other: Self) {
        self.inputs += other.inputs;
        self.accepted += other.accepted;
        self.seconds += other.seconds;
        self.memory = self.memory.max(other.memory);
        self.slowest = self.slowest.max(other.slowest);
        other
            .faults
            .into_iter()
            .for_each(|(fault, count)| *self.faults.entry(fault).or_default() += count);
    }
}

/// The file of a worker's [`Report`].
pub fn report_path(folder: &Path) -> PathBuf {
    folder.join("report.json")
}

/// The file that holds the number of the input that is being read.
pub fn number_path(folder: &Path) -> PathBuf {
    folder.join("number")
}

/// The place where the last panic began, and its message.
static PANIC: Mutex<String> = Mutex::new(String::new());

/// The number of the input that is being read.
static NUMBER: AtomicU64 = AtomicU64::new(0);

fn remember(panic: &PanicHookInfo) {
    let place = panic
        .location()
        .map_or(String::new(), |place| format!("{}:{}", place.file(), place.line()));
    let text = panic.payload_as_str().unwrap_or("").chars().take(120).collect::<String>();
    *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = format!("panic at {place}: {text}");
}

/// What one input did.
struct Outcome {
    accepted: bool,
    memory: usize,
    seconds: f64,
    fault: Option<String>,
}

/// Seconds of processor time that this process has taken.
fn processor() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

fn read(run: &mut Run, input: &[u8]) -> Outcome {
    let start = processor();
    let (result, memory) = memory::peak(|| catch_unwind(AssertUnwindSafe(|| run(input))));
    let seconds = processor() - start;
    let fault = match result {
        Err(_) => Some(PANIC.lock().unwrap_or_else(PoisonError::into_inner).clone()),
        Ok(_) if memory > MOST_MEMORY => Some("too much memory".to_string()),
        Ok(_) if seconds > MOST_SECONDS => Some("too slow".to_string()),
        Ok(_) => None,
    };
    Outcome { accepted: result.unwrap_or(false), memory, seconds, fault }
}

/// Ends the process if it is stuck on one input.
fn watch() {
    let mut before = u64::MAX;
    loop {
        thread::sleep(PATIENCE);
        let now = NUMBER.load(Relaxed);
        if now == before {
            exit(1);
        }
        before = now;
    }
}

/// Reads all inputs of a job.
///
/// # Panics
/// If there is no such target, or a file cannot be written.
pub fn work(target: &'static Target, job: &Job) {
    set_hook(Box::new(remember));
    thread::spawn(watch);
    let seeds = (target.seeds)();
    let mut worker = Worker { job, run: (target.open)(&job.folder), report: Report::default() };
    let mutator = Mutator::new(target, &seeds, job.seed);
    for number in job.first..job.end {
        NUMBER.store(number, Relaxed);
        fs::write(number_path(&job.folder), number.to_le_bytes())
            .expect("the folder of the worker can be written to");
        worker.take(&mutator.input(number));
        if number % INTERVAL == 0 {
            worker.save();
        }
    }
    worker.save();
}

struct Worker<'a> {
    job: &'a Job,
    run: Run,
    report: Report,
}

impl Worker<'_> {
    fn take(&mut self, input: &[u8]) {
        let mut outcome = read(&mut self.run, input);
        // The machine may have been busy: an input counts as slow only if it is slow every time.
        for _ in 0..3 {
            if outcome.seconds > MOST_SECONDS {
                outcome = read(&mut self.run, input);
            }
        }
        let faults = outcome.fault.into_iter().map(|fault| (fault, 1)).collect();
        let (accepted, memory, slowest) =
            (outcome.accepted as u64, outcome.memory, outcome.seconds);
        for fault in BTreeMap::keys(&faults) {
            self.keep(input, fault);
        }
        self.report.add(Report {
            inputs: 1,
            accepted,
            seconds: outcome.seconds,
            memory,
            slowest,
            faults,
        });
    }

    /// Saves an input that failed, unless enough have already been kept for its fault.
    fn keep(&mut self, input: &[u8], fault: &str) {
        if self.report.faults.get(fault).is_none_or(|count| *count < KEPT) {
            let shorter = self.shortened(input.to_vec(), fault);
            save_failure(&self.job.failures, &self.job.target, &shorter, fault);
        }
    }

    /// Removes parts of an input as long as it still fails in the same way.
    fn shortened(&mut self, mut input: Vec<u8>, fault: &str) -> Vec<u8> {
        let (mut size, mut start, mut tries) = (input.len() / 2, 0, 0);
        while size > 0 && tries < TRIES {
            if start >= input.len() {
                (size, start) = (size / 2, 0);
                continue;
            }
            let end = (start + size).min(input.len());
            let without = [&input[..start], &input[end..]].concat();
            if read(&mut self.run, &without).fault.as_deref() == Some(fault) {
                input = without;
            } else {
                start = end;
            }
            tries += 1;
        }
        input
    }

    fn save(&self) {
        let bytes = serde_json::to_vec(&self.report).expect("a report can be written");
        fs::write(report_path(&self.job.folder), bytes)
            .expect("the folder of the worker can be written to");
    }
}

/// Writes a failed input to `TARGET-SUM`, and says what is wrong.
///
/// # Panics
/// If it cannot be written.
pub fn save_failure(folder: &Path, target: &str, input: &[u8], fault: &str) {
    let mut sum = flate2::Crc::new();
    sum.update(input);
    let path = folder.join(format!("{target}-{:08x}", sum.sum()));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&path, input))
        .expect("the folder of failures can be written");
    eprintln!("{}: {fault}", path.display());
}

/// Reads the pictures of a folder as they are and prints the outcomes. Returns whether none failed.
///
/// # Errors
/// If the folder cannot be read.
pub fn read_pictures(folder: &Path) -> anyhow::Result<bool> {
    set_hook(Box::new(remember));
    let mut passed = true;
    for path in files::below(folder)?.into_iter().map(|path| folder.join(path)) {
        let shown = path.display().to_string();
        let mut run: Run = Box::new(move |_| {
            let image = ch01_tensors::read_image(&path, [3, 32, 32], Color::WHITE);
            image.map_err(|error| println!("{error}")).is_ok()
        });
        let outcome = read(&mut run, &[]);
        let became = if outcome.accepted { "accepted" } else { "rejected" };
        let (megabytes, milliseconds) = (outcome.memory as f64 / 1e6, 1e3 * outcome.seconds);
        let failed = outcome.fault.as_deref().unwrap_or("good");
        println!("{shown}: {became}, {megabytes:.1} MB, {milliseconds:.0} ms, {failed}");
        passed &= outcome.fault.is_none();
    }
    Ok(passed)
}
