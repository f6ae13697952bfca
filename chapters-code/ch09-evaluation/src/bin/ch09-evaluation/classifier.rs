//! The command `classifier`.

use std::path::PathBuf;

use ch01_tensors::{DataArgs, Split};
use ch09_evaluation::classifier::{self, ClassifierConfig};
use cli::progress::Progress;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    data: DataArgs,
    /// Steps to train
    #[arg(long, default_value_t = 3000, value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// Images per step
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch_size: u32,
    /// Determines every random number in the training
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where the classifier goes
    #[arg(long, value_name = "DIR", default_value = "runs/classifier")]
    out: PathBuf,
    /// How many threads to use (default: all)
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
}

/// Trains a classifier and prints how often it is right.
pub fn run(args: Args) -> anyhow::Result<()> {
    cli::set_threads(args.threads.map(|t| t as usize))?;
    let device = cli::device(0)?;
    let _claim = files::claim(&args.out)?;
    let (train, heldout) =
        (args.data.open(Split::Train)?, args.data.open(Split::HeldOut)?);
    cli::notes(train.notes());
    let config = ClassifierConfig {
        dataset: train.name().to_string(),
        shape: train.shape(),
        questions: classifier::questions(train.as_ref())
            .iter()
            .map(|(_, all)| all.len())
            .collect(),
        steps: args.steps,
        batch_size: args.batch_size as usize,
        seed: args.seed,
        accuracy: 0.0,
    };
    let mut progress = Progress::new(args.steps, 0);
    let mut losses = "step,loss\n".to_string();
    let watch = |step, loss| {
        losses += &format!("{step},{loss}\n");
        progress.update(step + 1, || format!("loss {loss:.4}"));
    };
    let trained = classifier::train_classifier(&device, config, train.as_ref(), watch);
    let mut trained =
        trained.map_err(|e| anyhow::anyhow!("the device failed: {e:?}"))?;
    progress.finish();
    trained.config.accuracy = classifier::accuracy(&device, &trained, heldout.as_ref());
    cli::println!(
        "right for {:.2} % of {} held-out images",
        100.0 * trained.config.accuracy,
        heldout.len()
    );
    classifier::save(&args.out, &mut trained)?;
    files::write(args.out.join("metrics.csv"), losses.as_bytes())?;
    cli::println!("wrote {}", args.out.display());
    Ok(())
}
