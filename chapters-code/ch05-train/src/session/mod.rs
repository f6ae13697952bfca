//! A training run as a program runs it: from its flags, with a progress bar, checkpoints,
//! held-out losses, previews, signals and `--resume`. Nothing here is about
//! diffusion.

mod args;
mod metrics;
mod needs;

use std::fs::DirEntry;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use ch01_tensors::{Dataset, Split};
use cli::progress::Progress;
use cli::signals::Signals;
use dfdx::prelude::*;
use ops::layers::Parameters;
use ops::{AutoDevice, Images};

use crate::{HeldoutLoss, StepReport, TrainError, Trainer};

pub use args::{read_data, Args};
pub use metrics::Metrics;

/// The images to learn from, and the held-out ones to check what was learnt.
struct Sets {
    train: Box<dyn Dataset>,
    heldout: Box<dyn Dataset>,
}

/// What one training program does differently from the others.
pub trait Session: Sized {
    /// The network.
    type Network: Parameters<AutoDevice> + Clone;
    /// The command that runs the program, without its flags.
    const COMMAND: &'static str;

    /// The command that draws with the model in `directory`, a name that is already quoted.
    fn draw_command(directory: &str) -> String;
    /// The part of a data set to learn from.
    fn prepare(dataset: Box<dyn Dataset>) -> Box<dyn Dataset> {
        dataset
    }
    /// The trainer inside.
    fn trainer(&mut self) -> &mut Trainer<AutoDevice, Self::Network>;
    /// One step.
    ///
    /// # Errors
    /// As [`Trainer::learn`].
    fn train_step(&mut self, dataset: &dyn Dataset) -> Result<StepReport, TrainError>;
    /// The loss of the averaged weights on `count` images.
    fn heldout_loss(&mut self, dataset: &dyn Dataset, count: usize) -> HeldoutLoss;
    /// Images drawn with the averaged weights.
    fn draw(&mut self, count: usize, seed: u64) -> Images<AutoDevice>;
    /// Writes everything that is needed to use the model and to continue the run.
    ///
    /// # Errors
    /// If a file cannot be written.
    fn save(&mut self, directory: &Path) -> anyhow::Result<()>;
}

/// How many held-out images the loss is measured on.
const HELDOUT: usize = 256;

/// Begins a training run, or continues one. `begin` and `resume` make the session for
/// the data set to learn from. The exit code says whether everything was done and, if not, which
/// signal stopped the run.
///
/// # Errors
/// If a file cannot be read or written, if flags and files do not fit together, or if a step fails.
/// A run that fails before its first step leaves nothing behind.
pub fn run<S: Session>(
    args: &Args,
    begin: impl FnOnce(&AutoDevice, &dyn Dataset) -> anyhow::Result<S>,
    resume: impl FnOnce(&AutoDevice, &Path, &dyn Dataset) -> anyhow::Result<S>,
) -> anyhow::Result<ExitCode> {
    cli::set_threads(args.threads.map(|t| t as usize))?;
    let device = cli::device(0)?;
    let out = args.out();
    // A run cannot be resumed from a folder that does not exist, and `claim` must not create it.
    let _claim =
        (!args.resume || out.is_dir()).then(|| files::claim(&out)).transpose()?;
    check_out::<S>(args, &out)?;
    let (mut session, metrics, train_set, data) = if args.resume {
        let mut data = args::read_data(&out)?;
        if let Some(directory) = &args.data.data_dir {
            data.data_dir = Some(directory.clone());
        }
        let train_set = data.open(Split::Train).context(
            "the images of this run cannot be opened; if they have moved, give their \
            folder with --data-dir",
        )?;
        let train_set = S::prepare(train_set);
        let mut session = resume(&device, &out, train_set.as_ref())?;
        let metrics = Metrics::load(&out, session.trainer().step)?;
        (session, metrics, train_set, data)
    } else {
        let train_set = S::prepare(args.data.open(Split::Train)?);
        needs::check_memory(&args.config(train_set.shape())?)?;
        let session = begin(&device, train_set.as_ref())?;
        (session, Metrics::default(), train_set, args.data.clone())
    };
    let sets = Sets { train: train_set, heldout: data.open(Split::HeldOut)? };
    cli::notes(sets.train.notes());
    let args = args.with_data(data);
    let trainer = session.trainer();
    check_shape(trainer, sets.train.as_ref(), &out)?;
    check_samples(&args, sets.train.shape())?;
    let total = args.steps().max(trainer.step);
    trainer.plan(total, args.cooldown(trainer.config.optimizer.cooldown));
    cli::println!(
        "{}: {} images of {}, {} parameters, about {} of memory, steps {} to {total}, \
        batch size {}",
        out.display(),
        sets.train.len(),
        sets.train.name(),
        ops::params::count(&mut trainer.network),
        cli::memory::size(needs::memory(&trainer.config)?),
        trainer.step,
        trainer.config.batch_size,
    );
    if let Some(warning) = needs::warning(&trainer.diffusion.schedule) {
        cli::print::note(warning);
    }
    let signals = Signals::listen()?;
    if !args.resume {
        args::write_data(&out, &args.data)?;
    }
    Run { args, out, sets, total, signals, metrics }.go(&mut session)
}

fn exists(out: &Path) -> bool {
    Trainer::<AutoDevice>::exists(out)
}

/// Checks that a training run can begin in a directory, or resume from it. A run can also begin
/// where another one ended before its first checkpoint.
fn check_out<S: Session>(args: &Args, out: &Path) -> anyhow::Result<()> {
    match (args.resume, exists(out)) {
        (true, true) => Ok(()),
        (true, false) => anyhow::bail!(
            "{} holds no training run to resume: leave out --resume, or give the --out \
            of one that was begun",
            out.display()
        ),
        (false, true) => anyhow::bail!(
            "{} is already there: choose another --out, remove this one, or go on with: {}",
            out.display(),
            args.resume_command(S::COMMAND)
        ),
        (false, false) if holds_nothing(out) || args::has_data(out) => Ok(()),
        (false, false) => anyhow::bail!(
            "{} holds something else: choose another --out, or remove this one",
            out.display()
        ),
    }
}

/// Whether a folder holds nothing but what a run leaves behind if it is killed before it writes its
/// first file.
fn holds_nothing(folder: &Path) -> bool {
    let nothing = |entry: DirEntry| {
        entry.file_name() == crate::TRAINING && holds_nothing(&entry.path())
    };
    std::fs::read_dir(folder)
        .is_ok_and(|mut entries| entries.all(|entry| entry.is_ok_and(nothing)))
}

fn check_shape<N>(
    trainer: &Trainer<AutoDevice, N>,
    dataset: &dyn Dataset,
    out: &Path,
) -> anyhow::Result<()> {
    let (found, expected) = (dataset.shape(), trainer.config.unet.input_shape());
    if Some(found) != expected {
        anyhow::bail!(
            "{}: the network takes images of {expected:?} (channels, height, width), \
            but {} has {found:?}",
            out.display(),
            dataset.name()
        );
    }
    Ok(())
}

/// Checks that the grid of images drawn at the end would not be too large.
fn check_samples(args: &Args, shape: [usize; 3]) -> Result<(), figures::FigureError> {
    let count = args.samples(shape);
    figures::check_grid(count as usize, columns(count), shape, scale(shape[2]))
}

/// Columns of a grid that is about as wide as it is high.
fn columns(count: u32) -> usize {
    (count as f64).sqrt().ceil() as usize
}

/// How many screen pixels wide each pixel is drawn.
fn scale(width: usize) -> usize {
    (128 / width).clamp(1, 8)
}

/// A training run that is under way.
struct Run {
    args: Args,
    out: PathBuf,
    sets: Sets,
    /// Steps in all.
    total: u64,
    signals: Signals,
    metrics: Metrics,
}

impl Run {
    /// Trains and draws until all is done, or until a signal comes.
    fn go<S: Session>(mut self, session: &mut S) -> anyhow::Result<ExitCode> {
        let mut progress = Progress::new(self.total, session.trainer().step);
        self.train(session, &mut progress)?;
        let step = session.trainer().step;
        let mut farewell = self.stopped_at::<S>(step);
        let mut all_done = false;
        if step == self.total {
            progress.note("drawing the last samples");
            farewell = self.undrawn::<S>();
            let (count, path) = (self.samples(), self.out.join("samples.png"));
            all_done = self.draw(session, count, &path, &farewell)?;
        }
        progress.finish();
        match self.signals.exit_code() {
            Some(code) if !all_done => {
                cli::println!("{farewell}");
                Ok(code)
            }
            _ => {
                cli::println!("wrote {}", self.out.display());
                cli::println!(
                    "draw with: {}",
                    S::draw_command(&cli::quoted(&self.out))
                );
                Ok(ExitCode::SUCCESS)
            }
        }
    }

    fn stopped_at<S: Session>(&self, step: u64) -> String {
        format!(
            "stopped at step {step} and saved; go on with: {}",
            self.args.resume_command(S::COMMAND)
        )
    }

    fn undrawn<S: Session>(&self) -> String {
        let command = self.args.resume_command(S::COMMAND);
        format!(
            "trained to the end and saved, but the last samples were not drawn; draw \
            them with: {command}"
        )
    }

    fn train<S: Session>(
        &mut self,
        session: &mut S,
        progress: &mut Progress,
    ) -> anyhow::Result<()> {
        let (began, first) = (Instant::now(), session.trainer().step);
        let batch_size = session.trainer().config.batch_size;
        let mut saved = None;
        let mut step = first;
        // The run may have been killed between a checkpoint and its picture.
        if self.has_preview(step) && !self.preview(step).exists() {
            self.draw_preview(session, step, progress)?;
        }
        while step < self.total && !self.signals.stop() {
            let report = session
                .train_step(self.sets.train.as_ref())
                .map_err(|error| self.failed(error))?;
            step += 1;
            self.metrics.push(report);
            if step == first + needs::TIMED {
                let estimate = needs::estimate(self.total - step, began.elapsed());
                estimate.iter().for_each(|sentence| progress.note(sentence));
            }
            progress.update(step, || {
                let speed = (step - first) as f64 * batch_size as f64
                    / began.elapsed().as_secs_f64();
                format!("loss {:.4} · {speed:.0} images/s", self.metrics.recent_loss())
            });
            if self.args.every(self.args.heldout_every, step, self.total) {
                let loss = session.heldout_loss(self.sets.heldout.as_ref(), HELDOUT);
                progress
                    .note(&format!("step {step}: held-out loss {:.4}", loss.mean()));
                self.metrics.push_heldout(step, loss);
            }
            if self.has_preview(step)
                || self.args.every(self.args.save_every, step, self.total)
            {
                self.save(session)?;
                saved = Some(step);
            }
            if self.has_preview(step) {
                self.draw_preview(session, step, progress)?;
            }
        }
        if saved != Some(step) {
            self.save(session)?;
        }
        Ok(())
    }

    fn failed(&self, error: TrainError) -> anyhow::Error {
        if !matches!(error, TrainError::NotFinite { .. }) {
            return error.into();
        }
        let kept = match exists(&self.out) {
            true => format!("the last checkpoint in {} is kept", self.out.display()),
            false => "nothing had been saved yet".to_string(),
        };
        anyhow::anyhow!(
            "{error}; {kept}. Try a smaller --learning-rate or a longer --warmup-steps"
        )
    }

    fn save(&self, session: &mut impl Session) -> anyhow::Result<()> {
        // The curves first: on resuming, rows beyond the state's step are dropped, but
        // missing ones could not be restored.
        self.metrics.save(&self.out)?;
        session.save(&self.out)
    }

    /// Whether a preview is drawn after this step.
    fn has_preview(&self, step: u64) -> bool {
        0 < step && step < self.total && step.is_multiple_of(self.args.sample_every)
    }

    /// How many images to draw at the end.
    fn samples(&self) -> u32 {
        self.args.samples(self.sets.train.shape())
    }

    fn preview(&self, step: u64) -> PathBuf {
        self.out.join(format!("samples/step_{step:06}.png"))
    }

    /// Draws a preview, always after a checkpoint, so that a signal can end the drawing at once.
    fn draw_preview<S: Session>(
        &self,
        session: &mut S,
        step: u64,
        progress: &Progress,
    ) -> anyhow::Result<()> {
        let (count, path) = (self.samples().min(9), self.preview(step));
        if self.draw(session, count, &path, &self.stopped_at::<S>(step))? {
            progress.note(&format!("step {step}: drew {}", path.display()));
        }
        Ok(())
    }

    /// Draws images, unless a signal has come. A signal that comes during the drawing ends the
    /// program with `farewell`.
    fn draw(
        &self,
        session: &mut impl Session,
        count: u32,
        path: &Path,
        farewell: &str,
    ) -> anyhow::Result<bool> {
        let draw = || session.draw(count as usize, self.args.sample_seed);
        let Some(images) = self.signals.unless_stopped(farewell, draw) else {
            return Ok(false);
        };
        if images.as_vec().iter().any(|v| !v.is_finite()) {
            let step = session.trainer().step;
            anyhow::bail!(
                "the images drawn at step {step} are not finite numbers: try a smaller \
                --learning-rate"
            );
        }
        let (_, _, _, width) = *images.shape();
        figures::save_png(
            path,
            &figures::image_grid(&images, columns(count), scale(width)),
        )?;
        Ok(true)
    }
}
