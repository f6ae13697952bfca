//! Kills training runs at random and checks that each, once resumed, ends with the same bytes as
//! one that was never stopped, and with nothing left behind: `cargo run -p book-tests --bin kills
//! -- [COUNT] [SEED]`.
//!
//! Half of the kills hit training runs with one thread, and the other half hit those with two
//! threads; two runs are under way at a time. A thousand kills, the default, take a quarter of an
//! hour on two cores. The kills are spread over a whole run: starting, training, drawing, and
//! writing, which takes most of the time. A run that was killed before its first checkpoint is
//! begun again. `cargo test` has a short version in `tests/programs.rs`.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{ensure, Context};
use book_tests::programs::{binary, differences};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const TRAINING: [&str; 9] = [
    "--preset",
    "tiny",
    "--num-timesteps",
    "20",
    "--batch-size",
    "4",
    "--learning-rate",
    "1e-3",
    "--steps",
];
const STEPS: &str = "12";
/// Flags that change no byte of what is written.
const PACE: [&str; 8] =
    ["--save-every", "2", "--sample-every", "5", "--heldout-every", "6", "--samples", "2"];

/// A program that trains, and the number of its threads.
struct Campaign<'a> {
    program: &'a Path,
    folder: &'a Path,
    threads: &'a str,
}

impl Campaign<'_> {
    fn command(&self, out: &str) -> Command {
        let resumes = self.folder.join(out).join("training/state.safetensors").exists();
        let mut command = Command::new(self.program);
        match resumes {
            true => command.args(["--resume", "--steps", STEPS]),
            false => command.args(TRAINING).arg(STEPS),
        };
        command.args(PACE).args(["--threads", self.threads, "--out", out]).current_dir(self.folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    fn finish(&self, out: &str) -> anyhow::Result<()> {
        let output = self.command(out).output()?;
        ensure!(output.status.success(), "{out}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Kills a training run after `delay`, resumes it, and returns whether the kill came in time.
    fn kill(&self, whole: &str, out: &str, delay: Duration) -> anyhow::Result<bool> {
        let mut child = self.command(out).spawn()?;
        std::thread::sleep(delay);
        child.kill()?;
        let killed = !child.wait()?.success();
        self.finish(out)?;
        let differ = differences(&self.folder.join(whole), &self.folder.join(out));
        ensure!(differ.is_empty(), "{out}, killed after {delay:?}, ends with different {differ:?}");
        std::fs::remove_dir_all(self.folder.join(out))?;
        Ok(killed)
    }

    /// Kills training runs until `count` of them have been killed before they ended, and returns
    /// how many were tried.
    fn run(&self, count: u32, seed: u64) -> anyhow::Result<u32> {
        let whole = format!("whole-{}", self.threads);
        let start = Instant::now();
        self.finish(&whole)?;
        let mut longest = start.elapsed();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut killed, mut tried) = (0, 0);
        while killed < count {
            let out = format!("killed-{}-{tried}", self.threads);
            let in_time = self
                .kill(&whole, &out, longest.mul_f64(rng.gen()))
                .with_context(|| format!("seed {seed}"))?;
            // How long a run takes varies with the machine's load. This keeps late kills to about
            // one in ten.
            longest = longest.mul_f64(if in_time { 1.01 } else { 0.9 });
            (killed, tried) = (killed + in_time as u32, tried + 1);
        }
        Ok(tried)
    }
}

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).map(|word| word.parse::<u64>());
    match (numbers.next().unwrap_or(Ok(1000)), numbers.next().unwrap_or(Ok(0))) {
        (Ok(count), Ok(seed)) => report(count as u32, seed),
        _ => {
            eprintln!("usage: kills [COUNT] [SEED]");
            ExitCode::from(2)
        }
    }
}

fn report(count: u32, seed: u64) -> ExitCode {
    match kills(count, seed) {
        Ok(tried) => {
            println!(
                "{count} kills of {tried} training runs: all ended in the same bytes, with nothing \
                left behind"
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn kills(count: u32, seed: u64) -> anyhow::Result<u32> {
    let (program, folder) = (binary("ch05-train"), tempfile::tempdir()?);
    let campaign = |threads| Campaign { program: &program, folder: folder.path(), threads };
    let (one, two) = (campaign("1"), campaign("2"));
    let tried = std::thread::scope(|scope| {
        let first = scope.spawn(|| one.run(count / 2, seed));
        let second = two.run(count - count / 2, seed + 1)?;
        anyhow::Ok(first.join().expect("the campaign does not panic")? + second)
    })?;
    let differ = differences(&folder.path().join("whole-1"), &folder.path().join("whole-2"));
    ensure!(differ.is_empty(), "the number of threads changes {differ:?}");
    Ok(tried)
}
