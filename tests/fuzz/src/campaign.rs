//! Divides the inputs of a target among processes, and adds up their reports.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;
use std::{fs, io, thread};

use anyhow::Context;

use crate::mutate::Mutator;
use crate::targets::Target;
use crate::worker::{number_path, report_path, save_failure, Job, Report};

/// Processes that run at once.
const WORKERS: u64 = 2;

/// How many processes may die on one target before the target is abandoned.
const MOST_DEATHS: u64 = 50;

/// Sends `count` inputs to a target, and prints its line of the table. Returns whether none failed.
///
/// # Errors
/// If a process cannot be started, or a file cannot be written.
pub fn attack(
    target: &'static Target,
    count: u64,
    seed: u64,
    failures: &Path,
) -> anyhow::Result<bool> {
    let start = Instant::now();
    let shares =
        (0..WORKERS).map(|worker| worker * count / WORKERS..(worker + 1) * count / WORKERS);
    let mut total = Report::default();
    thread::scope(|scope| {
        let share =
            |range: std::ops::Range<u64>| scope.spawn(move || read(target, range, seed, failures));
        let running: Vec<_> = shares.map(share).collect();
        for worker in running {
            total.add(worker.join().expect("a worker's thread returns")?);
        }
        anyhow::Ok(())
    })?;
    print(target, &total, start.elapsed().as_secs_f64());
    Ok(total.faults.is_empty())
}

/// Starts a process that reads a range of inputs, and another for the rest whenever a process dies.
fn read(
    target: &'static Target,
    range: std::ops::Range<u64>,
    seed: u64,
    failures: &Path,
) -> anyhow::Result<Report> {
    let (mut total, mut first, mut deaths) = (Report::default(), range.start, 0);
    while first < range.end && deaths < MOST_DEATHS {
        let folder = scratch()?;
        let (name, folder_path) = (target.name.to_string(), folder.path().to_path_buf());
        let job = Job {
            target: name,
            seed,
            first,
            end: range.end,
            folder: folder_path,
            failures: failures.into(),
        };
        let status = start(&job)?;
        if let Ok(bytes) = fs::read(report_path(folder.path())) {
            total.add(serde_json::from_slice(&bytes)?);
        }
        if status.success() {
            break;
        }
        let number =
            fs::read(number_path(folder.path())).context("a worker died before its first input")?;
        let number =
            u64::from_le_bytes(number.try_into().ok().context("a worker died between two inputs")?);
        let fault = format!("the process ended with {status}");
        save_failure(
            failures,
            target.name,
            &Mutator::new(target, &(target.seeds)(), seed).input(number),
            &fault,
        );
        total.add(Report { faults: [(fault, 1)].into(), ..Report::default() });
        (first, deaths) = (number + 1, deaths + 1);
    }
    Ok(total)
}

/// A folder in memory, if the system has one.
fn scratch() -> io::Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    }
}

fn start(job: &Job) -> anyhow::Result<std::process::ExitStatus> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--job", &serde_json::to_string(job)?]);
    // One thread each: the processes share the processor.
    command.env("RAYON_NUM_THREADS", "1").env("RUST_BACKTRACE", "0").stdout(Stdio::null());
    Ok(command.status()?)
}

/// The names of the columns.
pub fn print_header() {
    println!("target               inputs  seconds  accepted   memory  slowest  failures");
}

fn print(target: &Target, report: &Report, seconds: f64) {
    let accepted = 100.0 * report.accepted as f64 / report.inputs.max(1) as f64;
    let (megabytes, milliseconds) = (report.memory as f64 / 1e6, 1e3 * report.slowest);
    let failures: u64 = report.faults.values().sum();
    println!(
        "{:19}{:>8}{seconds:>9.1}{accepted:>8.2} %{megabytes:>6.1} MB{milliseconds:>6.0} \
        ms{failures:>10}",
        target.name, report.inputs
    );
    for (fault, count) in &report.faults {
        println!("    {count} × {fault}");
    }
}
