//! Trains a diffusion model.

mod args;
mod metrics;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Instant;

use args::Args;
use ch01_tensors::{Dataset, Split};
use ch05_train::{heldout_loss, TrainError, Trainer};
use ch06_sampling::sample_images;
use cli::progress::Progress;
use metrics::Metrics;
use ops::AutoDevice;

fn main() -> std::process::ExitCode {
    cli::run(|args: Args| {
        cli::set_threads(args.threads.map(|t| t as usize))?;
        let device = cli::device(0)?;
        let (mut trainer, mut metrics, data) =
            if args.resume { resume(&args, &device)? } else { start(&args, &device)? };
        let out = args.out();
        let train_set = data.open(Split::Train)?;
        let heldout = data.open(Split::HeldOut)?;
        check_shape(&trainer, train_set.as_ref(), &out)?;
        let total = args.steps().max(trainer.step);
        println!(
            "{} images of {} in {}, {} parameters, steps {} to {total}, batch size {}",
            train_set.len(),
            train_set.name(),
            out.display(),
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
        train(&args, &device, &mut trainer, &mut metrics, train_set.as_ref(), heldout.as_ref(), total, &interrupted)?;
        if interrupted.load(Ordering::SeqCst) {
            println!("stopped at step {} and saved; go on with: {}", trainer.step, args.resume_command());
            std::process::exit(130);
        }
        println!("wrote {}", out.display());
        println!(
            "draw with: cargo run -p ch06-sampling -- --model {} --count 16 --seed 1 --out samples.png",
            out.display()
        );
        Ok(())
    })
}

/// A training from the beginning.
fn start(args: &Args, device: &AutoDevice) -> anyhow::Result<(Trainer<AutoDevice>, Metrics, ch01_tensors::DataArgs)> {
    let out = args.out();
    if out.exists() && std::fs::read_dir(&out).map_or(true, |mut entries| entries.next().is_some()) {
        let hint = match Trainer::<AutoDevice>::exists(&out) {
            true => format!("go on with: {}; or", args.resume_command()),
            false => "it holds something else:".to_string(),
        };
        anyhow::bail!("{} is already there: {hint} choose another --out, or remove it", out.display());
    }
    let dataset = args.data.open(Split::Train)?;
    let config = args.config(dataset.shape());
    let trainer = Trainer::new(device, config)?;
    // Find out now, and not after the first thousand steps, whether the output can be written.
    args::write_data(&out, &args.data)?;
    Ok((trainer, Metrics::default(), args.data.clone()))
}

/// A training from its last checkpoint.
fn resume(args: &Args, device: &AutoDevice) -> anyhow::Result<(Trainer<AutoDevice>, Metrics, ch01_tensors::DataArgs)> {
    let out = args.out();
    if !Trainer::<AutoDevice>::exists(&out) {
        anyhow::bail!(
            "{} holds no training to resume: leave out --resume, or give the --out of one that was begun",
            out.display()
        );
    }
    let trainer = Trainer::load(device, &out)?;
    let metrics = Metrics::load(&out, trainer.step)?;
    let mut data = args::read_data(&out)?;
    if let Some(directory) = &args.data.data_dir {
        data.data_dir = Some(directory.clone());
    }
    Ok((trainer, metrics, data))
}

fn check_shape(trainer: &Trainer<AutoDevice>, dataset: &dyn Dataset, out: &Path) -> anyhow::Result<()> {
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

#[allow(clippy::too_many_arguments)]
fn train(
    args: &Args,
    device: &AutoDevice,
    trainer: &mut Trainer<AutoDevice>,
    metrics: &mut Metrics,
    train_set: &dyn Dataset,
    heldout: &dyn Dataset,
    total: u64,
    interrupted: &AtomicBool,
) -> anyhow::Result<()> {
    let out = args.out();
    let mut progress = Progress::new(total, trainer.step);
    let (began, first) = (Instant::now(), trainer.step);
    let mut saved = None;
    while trainer.step < total && !interrupted.load(Ordering::SeqCst) {
        let report = match trainer.train_step(train_set) {
            Ok(report) => report,
            Err(error @ TrainError::NotFinite { .. }) => {
                let kept = match Trainer::<AutoDevice>::exists(&out) {
                    true => format!("the last checkpoint in {} is kept", out.display()),
                    false => "nothing had been saved yet".to_string(),
                };
                anyhow::bail!("{error}; {kept}. Try a smaller --learning-rate or a longer --warmup-steps");
            }
            Err(error) => return Err(error.into()),
        };
        metrics.push(report);
        progress.update(trainer.step, || {
            let speed =
                (trainer.step - first) as f64 * trainer.config.batch_size as f64 / began.elapsed().as_secs_f64();
            format!("loss {:.4} · {speed:.0} images/s", metrics.recent_loss())
        });
        let step = trainer.step;
        if args.every(args.heldout_every, step, total) {
            let model = trainer.model();
            let loss = heldout_loss(
                device,
                &model.unet,
                &model.schedule,
                model.scheduler.prediction_type,
                heldout,
                128,
                trainer.config.seed,
            );
            progress.note(&format!("step {step}: held-out loss {:.4}", loss.mean()));
            metrics.push_heldout(step, loss);
        }
        // Pictures before the checkpoint: a training that resumes from it has them behind it.
        if step < total && step.is_multiple_of(args.sample_every) {
            let path = out.join(format!("samples/step_{step:06}.png"));
            draw(args, device, trainer, args.samples.min(9), &path)?;
            progress.note(&format!("step {step}: drew {}", path.display()));
        }
        if args.every(args.save_every, step, total) {
            save(trainer, metrics, &out)?;
            saved = Some(step);
        }
    }
    if saved != Some(trainer.step) {
        save(trainer, metrics, &out)?;
    }
    if trainer.step == total {
        progress.note("drawing the last samples");
        draw(args, device, trainer, args.samples, &out.join("samples.png"))?;
    }
    progress.finish();
    Ok(())
}

fn save(trainer: &mut Trainer<AutoDevice>, metrics: &Metrics, out: &Path) -> anyhow::Result<()> {
    // The curves first: on resuming, rows beyond the state's step are dropped, but missing ones could not be made up.
    metrics.save(out)?;
    Ok(trainer.save(out)?)
}

/// Draws images with the averaged weights.
fn draw(
    args: &Args,
    device: &AutoDevice,
    trainer: &Trainer<AutoDevice>,
    count: u32,
    path: &Path,
) -> anyhow::Result<()> {
    let shape = trainer.config.unet.input_shape().expect("a training knows its images");
    let images = sample_images(device, &trainer.model(), shape, 0, count as usize, args.sample_seed, |_, _, _| {});
    let columns = (count as f64).sqrt().ceil() as usize;
    let values = images.as_vec();
    if values.iter().any(|v| !v.is_finite()) {
        anyhow::bail!(
            "the drawn images are not finite numbers at step {}: try a smaller --learning-rate",
            trainer.step
        );
    }
    let picture = cli::grid(&images, columns, (128 / shape[2]).clamp(1, 8));
    Ok(figures::save_png(path, &picture)?)
}
