//! A training as a program runs it: from its flags, with a progress bar, checkpoints, held-out losses, pictures on the
//! way, Ctrl-C and `--resume`. Nothing here is about diffusion.

mod args;
mod metrics;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Instant;

use ch01_tensors::{Dataset, Split};
use cli::progress::Progress;
use dfdx::prelude::*;
use ops::layers::Parameters;
use ops::{AutoDevice, Images};

use crate::{HeldoutLoss, StepReport, TrainError, Trainer};

pub use args::Args;
use metrics::Metrics;

/// What is learnt from, and what the learning is checked with.
struct Sets {
    train: Box<dyn Dataset>,
    heldout: Box<dyn Dataset>,
}

/// What a training program does that others do not.
pub trait Session: Sized {
    /// The network.
    type Network: Parameters<AutoDevice> + Clone;
    /// The command that runs the program, up to its flags.
    const COMMAND: &'static str;

    /// What is learnt from, out of a data set.
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
    /// Images that the averaged weights draw.
    fn draw(&mut self, count: usize, seed: u64) -> Images<AutoDevice>;
    /// Writes everything that is needed to use the model and to go on.
    ///
    /// # Errors
    /// If a file cannot be written.
    fn save(&mut self, directory: &Path) -> anyhow::Result<()>;
}

/// Held-out images that are looked at.
const HELDOUT: usize = 256;

/// Begins a training, or goes on with one. `begin` and `resume` make the session for the data set to learn from.
///
/// # Errors
/// If a file cannot be read or written, flags and files do not fit together, or a step fails.
pub fn run<S: Session>(
    args: &Args,
    begin: impl FnOnce(&AutoDevice, &dyn Dataset) -> anyhow::Result<S>,
    resume: impl FnOnce(&AutoDevice, &Path, &dyn Dataset) -> anyhow::Result<S>,
) -> anyhow::Result<()> {
    cli::set_threads(args.threads.map(|t| t as usize))?;
    let device = cli::device(0)?;
    let out = args.out();
    let (mut session, mut metrics, train_set, data) = if args.resume {
        if !exists(&out) {
            anyhow::bail!(
                "{} holds no training to resume: leave out --resume, or give the --out of one that was begun",
                out.display()
            );
        }
        let mut data = args::read_data(&out)?;
        if let Some(directory) = &args.data.data_dir {
            data.data_dir = Some(directory.clone());
        }
        let train_set = S::prepare(data.open(Split::Train)?);
        let mut session = resume(&device, &out, train_set.as_ref())?;
        let metrics = Metrics::load(&out, session.trainer().step)?;
        (session, metrics, train_set, data)
    } else {
        if out.exists() && std::fs::read_dir(&out).map_or(true, |mut entries| entries.next().is_some()) {
            let hint = match exists(&out) {
                true => format!("go on with: {}; or", args.resume_command(S::COMMAND)),
                false => "it holds something else:".to_string(),
            };
            anyhow::bail!("{} is already there: {hint} choose another --out, or remove it", out.display());
        }
        let train_set = S::prepare(args.data.open(Split::Train)?);
        let session = begin(&device, train_set.as_ref())?;
        // Find out now, and not after the first thousand steps, whether the output can be written.
        args::write_data(&out, &args.data)?;
        (session, Metrics::default(), train_set, args.data.clone())
    };
    let sets = Sets { train: train_set, heldout: data.open(Split::HeldOut)? };
    let args = &args.with_data(data);
    let trainer = session.trainer();
    check_shape(trainer, sets.train.as_ref(), &out)?;
    let total = args.steps().max(trainer.step);
    trainer.plan(total, args.cooldown(trainer.config.optimizer.cooldown));
    println!(
        "{}: {} images of {}, {} parameters, steps {} to {total}, batch size {}",
        out.display(),
        sets.train.len(),
        sets.train.name(),
        ops::params::count(&mut trainer.unet),
        trainer.step,
        trainer.config.batch_size,
    );
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = interrupted.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::SeqCst) {
            std::process::exit(130); // asked twice: stop at once
        }
    })?;
    train(args, &mut session, &mut metrics, &sets, total, &interrupted)?;
    if interrupted.load(Ordering::SeqCst) {
        let (step, command) = (session.trainer().step, args.resume_command(S::COMMAND));
        println!("stopped at step {step} and saved; go on with: {command}");
        std::process::exit(130);
    }
    println!("wrote {}", out.display());
    Ok(())
}

fn exists(out: &Path) -> bool {
    Trainer::<AutoDevice>::exists(out)
}

fn check_shape<N>(trainer: &Trainer<AutoDevice, N>, dataset: &dyn Dataset, out: &Path) -> anyhow::Result<()> {
    let (found, expected) = (dataset.shape(), trainer.config.unet.input_shape());
    if Some(found) != expected {
        anyhow::bail!(
            "{}: the network takes images of {expected:?} (channels, height, width), but {} has {found:?}",
            out.display(),
            dataset.name()
        );
    }
    Ok(())
}

fn train<S: Session>(
    args: &Args,
    session: &mut S,
    metrics: &mut Metrics,
    sets: &Sets,
    total: u64,
    interrupted: &AtomicBool,
) -> anyhow::Result<()> {
    let out = args.out();
    let (began, first) = (Instant::now(), session.trainer().step);
    let batch_size = session.trainer().config.batch_size;
    let mut progress = Progress::new(total, first);
    let mut saved = None;
    let mut step = first;
    while step < total && !interrupted.load(Ordering::SeqCst) {
        let report = match session.train_step(sets.train.as_ref()) {
            Ok(report) => report,
            Err(error @ TrainError::NotFinite { .. }) => {
                let kept = match exists(&out) {
                    true => format!("the last checkpoint in {} is kept", out.display()),
                    false => "nothing had been saved yet".to_string(),
                };
                anyhow::bail!("{error}; {kept}. Try a smaller --learning-rate or a longer --warmup-steps");
            }
            Err(error) => return Err(error.into()),
        };
        step += 1;
        metrics.push(report);
        progress.update(step, || {
            let speed = (step - first) as f64 * batch_size as f64 / began.elapsed().as_secs_f64();
            format!("loss {:.4} · {speed:.0} images/s", metrics.recent_loss())
        });
        if args.every(args.heldout_every, step, total) {
            let loss = session.heldout_loss(sets.heldout.as_ref(), HELDOUT);
            progress.note(&format!("step {step}: held-out loss {:.4}", loss.mean()));
            metrics.push_heldout(step, loss);
        }
        // Pictures before the checkpoint: a training that resumes from it has them behind it.
        if step < total && step.is_multiple_of(args.sample_every) {
            let path = out.join(format!("samples/step_{step:06}.png"));
            draw(args, session, args.samples.min(9), &path)?;
            progress.note(&format!("step {step}: drew {}", path.display()));
        }
        if args.every(args.save_every, step, total) {
            save(session, metrics, &out)?;
            saved = Some(step);
        }
    }
    if saved != Some(step) {
        save(session, metrics, &out)?;
    }
    if step == total {
        progress.note("drawing the last samples");
        draw(args, session, args.samples, &out.join("samples.png"))?;
    }
    progress.finish();
    Ok(())
}

fn save(session: &mut impl Session, metrics: &Metrics, out: &Path) -> anyhow::Result<()> {
    // The curves first: on resuming, rows beyond the state's step are dropped, but missing ones could not be made up.
    metrics.save(out)?;
    session.save(out)
}

fn draw(args: &Args, session: &mut impl Session, count: u32, path: &Path) -> anyhow::Result<()> {
    let images = session.draw(count as usize, args.sample_seed);
    if images.as_vec().iter().any(|v| !v.is_finite()) {
        let step = session.trainer().step;
        anyhow::bail!("the drawn images are not finite numbers at step {step}: try a smaller --learning-rate");
    }
    let columns = (count as f64).sqrt().ceil() as usize;
    let (_, _, _, width) = *images.shape();
    Ok(figures::save_png(path, &figures::image_grid(&images, columns, (128 / width).clamp(1, 8)))?)
}
