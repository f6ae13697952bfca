//! What a training run needs: memory, time, and a schedule that ends in noise.

use std::time::Duration;

use ch02_schedule::Schedule;

use crate::TrainConfig;

/// Bytes for each parameter: weights, average, two moments, and copies and gradients for both
/// halves of a batch.
const PER_PARAMETER: u128 = 40;
/// Bytes for each number that a block outputs, for each image of a batch: what is kept
/// for the backward pass, and what passes through. Both constants were fitted to
/// `chapters-code/support/benchmark/results`.
const PER_FEATURE: u128 = 35;

/// About how many bytes of memory a training run takes.
///
/// # Errors
/// If the configuration cannot be built.
pub(super) fn memory(config: &TrainConfig) -> anyhow::Result<u128> {
    let parameters = config.unet.outline()?.count();
    let [_, height, width] = config.unet.input_shape().unwrap_or([0; 3]);
    let features = config.unet.features([height, width]);
    Ok(PER_PARAMETER * parameters + PER_FEATURE * config.batch_size as u128 * features)
}

/// Checks that there is enough memory for a training run, before any of that memory is taken.
///
/// # Errors
/// If there is not enough, or the configuration cannot be built.
pub(super) fn check_memory(config: &TrainConfig) -> anyhow::Result<()> {
    if ops::CUDA {
        return Ok(()); // a GPU has its own memory
    }
    let batch_size = config.batch_size;
    let what = format!("training with batches of {batch_size}");
    let advice = "choose a smaller --batch-size, --image-size or --preset";
    cli::memory::ensure(memory(config)?, &what, advice)
}

/// How many steps are timed before the time for the rest is estimated.
pub(super) const TIMED: u64 = 3;

/// A sentence that says how long a run will take, judging by its first steps; `None` if it will
/// take less than a minute.
pub(super) fn estimate(steps: u64, took: Duration) -> Option<String> {
    let seconds = took.as_secs_f64() / TIMED as f64 * steps as f64;
    let long = match seconds {
        0.0..60.0 => return None,
        0.0..7200.0 => format!("{:.0} minutes", seconds / 60.0),
        _ => format!("{:.1} hours", seconds / 3600.0),
    };
    Some(format!(
        "{steps} steps will take about {long}; fewer --steps, a smaller --preset, --batch-size or \
         --image-size take less"
    ))
}

/// At most this much of an image may be left at the last timestep.
const LEFT: f64 = 0.01;

/// A warning, if a schedule does not end in noise.
pub(super) fn warning(schedule: &Schedule) -> Option<String> {
    let left = schedule.alpha_bar[schedule.len() - 1];
    (left > LEFT).then(|| {
        format!(
            "warning: after {} timesteps {:.0} % of the image's variance is left, but \
            sampling begins with nothing but noise: add --raise-betas (chapter 2 says \
            why), or a larger --num-timesteps",
            schedule.len(),
            100.0 * left
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ch04_unet::model_dir::SchedulerConfig;
    use ch04_unet::{BlockType, Preset, UNetConfig};

    fn config(unet: UNetConfig, batch_size: usize) -> TrainConfig {
        let (scheduler, optimizer) = (SchedulerConfig::default(), Default::default());
        TrainConfig {
            unet,
            scheduler,
            objective: Default::default(),
            optimizer,
            batch_size,
            ema_decay: 0.9,
            seed: 0,
        }
    }

    /// The peak memory that the benchmark measured, in MiB.
    #[test]
    fn the_estimate_is_near_what_was_measured() {
        use BlockType::*;
        let medium = UNetConfig {
            block_out_channels: vec![64, 128, 128],
            down_block_types: vec![DownBlock2D, AttnDownBlock2D, DownBlock2D],
            up_block_types: vec![UpBlock2D, AttnUpBlock2D, UpBlock2D],
            ..Preset::DdpmCifar10.config([3, 32, 32])
        };
        for (unet, batch_size, measured) in [
            (Preset::Cats.config([3, 16, 16]), 64, 160.0),
            (Preset::Mnist.config([1, 28, 28]), 64, 284.0),
            (medium, 32, 844.0),
        ] {
            let estimate =
                memory(&config(unet, batch_size)).unwrap() as f64 / (1 << 20) as f64;
            let ratio = estimate / measured;
            assert!(
                (0.8..1.5).contains(&ratio),
                "{estimate} MiB, but {measured} were measured"
            );
        }
    }

    #[test]
    fn too_much_is_an_error_before_it_is_taken() {
        let huge = config(Preset::Cats.config([3, 16, 16]), 1 << 40);
        let error = check_memory(&huge).unwrap_err().to_string();
        assert!(
            error.contains("batches of 1099511627776")
                && error.contains("--batch-size"),
            "{error}"
        );
    }

    #[test]
    fn hours_are_told_from_minutes() {
        let sentence =
            |steps, seconds| estimate(steps, Duration::from_secs_f64(seconds)).unwrap();
        assert!(
            sentence(1200, 0.3).contains("about 2 minutes"),
            "{}",
            sentence(1200, 0.3)
        );
        assert!(
            sentence(50_000, 45.0).contains("208.3 hours"),
            "{}",
            sentence(50_000, 45.0)
        );
        assert_eq!(estimate(10, Duration::from_secs_f64(0.3)), None);
    }

    #[test]
    fn a_short_walk_with_the_betas_of_a_long_one_is_warned_of() {
        use ch02_schedule::{betas, raised_betas, BetaSchedule};
        let short = Schedule::new(BetaSchedule::Linear, 100);
        let warning = warning(&short).unwrap();
        assert!(
            warning.contains("100 timesteps 36 %") && warning.contains("--raise-betas"),
            "{warning}"
        );
        let (start, end) = raised_betas(100);
        let raised = Schedule::from_betas(betas(BetaSchedule::Linear, 100, start, end));
        assert_eq!(super::warning(&raised), None);
        for kind in BetaSchedule::ALL {
            assert_eq!(super::warning(&Schedule::new(kind, 1000)), None, "{kind:?}");
        }
    }
}
