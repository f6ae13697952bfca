//! The commands that draw: `sample`, `scales`, `vary` and `inpaint`.

mod edit;
mod sample;

use std::path::{Path, PathBuf};

use anyhow::Context;
use ch06_sampling::program::{check_finite, check_memory, BATCH};
use ch06_sampling::{noise_per_image, sources, walk};
use ch07_ddim::flags::{SolverArgs, Spacing};
use ch08_conditioning::model::{self, ConditionalModel, ConditioningFile};
use ch08_conditioning::{Condition, Guidance};
use cli::progress::Progress;
pub use edit::{inpainting, vary, InpaintArgs, VaryArgs};
use ops::{AutoDevice, Images};
use rand_chacha::ChaCha8Rng;
pub use sample::{sample, scales, SampleArgs, ScalesArgs};

/// What every command needs.
#[derive(clap::Args)]
pub struct Common {
    /// The model directory (default: the cats that come with this book or, with --label, its
    /// digits)
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// What to draw, in words
    #[arg(long, conflicts_with = "label")]
    prompt: Option<String>,
    /// What to draw, as the name or the number of a class
    #[arg(long)]
    label: Option<String>,
    /// What not to draw, in words
    #[arg(long)]
    negative_prompt: Option<String>,
    /// Determines the noise: image i of a seed always begins with the same noise
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many timesteps to visit
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    #[command(flatten)]
    spacing: Spacing,
    /// How many screen pixels wide to draw each pixel
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    scale: u32,
    /// How many threads to use (default: all)
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
}

/// A model that is ready to draw.
struct Ready {
    device: AutoDevice,
    model: ConditionalModel<AutoDevice>,
    file: ConditioningFile,
    /// `[channels, height, width]`
    shape: [usize; 3],
    timesteps: Vec<usize>,
    name: String,
}

impl Common {
    /// Everything that is needed to draw a picture and write it to `out`.
    fn open(&self, out: &Path) -> anyhow::Result<Ready> {
        cli::outputs([("--out", out, "png")])?;
        cli::set_threads(self.threads.map(|t| t as usize))?;
        let device = cli::device(0)?;
        let shipped = if self.label.is_some() { "mnist-class" } else { "cats-text" };
        let directory = cli::model_or_shipped(self.model.as_deref(), shipped);
        let name = directory.display().to_string();
        let (model, file) = model::load(&device, &directory)?;
        cli::notes(&model.notes);
        let unet = model.network.unet.config();
        let shape = unet
            .input_shape()
            .with_context(|| format!("{name}: the config has no sample_size"))?;
        let total = model.diffusion.schedule.len();
        let timesteps = self.spacing.timesteps(total, self.steps)?;
        Ok(Ready { device, model, file, shape, timesteps, name })
    }

    /// What the flags ask for.
    fn condition(&self, ready: &Ready) -> anyhow::Result<Condition> {
        match (&self.prompt, &self.label) {
            (Some(prompt), _) => ready.read(prompt),
            (None, Some(label)) => ready.class(label),
            (None, None) => Ok(Condition::Nothing),
        }
    }

    /// What the flags say to leave out.
    fn negative(&self, ready: &Ready) -> anyhow::Result<Condition> {
        self.negative_prompt
            .as_ref()
            .map_or(Ok(Condition::Nothing), |prompt| ready.read(prompt))
    }
}

impl Ready {
    /// A prompt as the network reads it.
    fn read(&self, prompt: &str) -> anyhow::Result<Condition> {
        self.file.read(prompt).with_context(|| self.name.clone())
    }

    /// A class that the network knows.
    fn class(&self, label: &str) -> anyhow::Result<Condition> {
        self.file.class(label).with_context(|| self.name.clone())
    }

    fn images(&self, values: Vec<f32>) -> Images<AutoDevice> {
        let [channels, height, width] = self.shape;
        let count = values.len() / (channels * height * width);
        ops::tensor(&self.device, values, (count, channels, height, width))
    }

    /// Draws an image for each condition with `draw`, which is given the guidance and the random
    /// sources of one batch at a time.
    fn draw(
        &self,
        conditions: &[Condition],
        negative: &Condition,
        guidance_scale: f64,
        seed: u64,
        draw: impl Fn(Guidance, Vec<ChaCha8Rng>) -> anyhow::Result<Images<AutoDevice>>,
    ) -> anyhow::Result<Vec<f32>> {
        let mut progress = Progress::new(conditions.len() as u64, 0);
        let mut drawn = Vec::new();
        for (batch, conditions) in conditions.chunks(BATCH).enumerate() {
            let (first, size) = (batch * BATCH, conditions.len());
            let rngs = sources(seed, first as u64..(first + size) as u64);
            let guidance = Guidance {
                conditions: conditions.to_vec(),
                negative: vec![negative.clone(); size],
                guidance_scale,
            };
            let images = draw(guidance, rngs).with_context(|| self.name.clone())?;
            drawn.extend(images.as_vec());
            progress
                .update((first + size) as u64, || format!("{} images", first + size));
        }
        progress.finish();
        Ok(drawn)
    }

    /// [`Ready::draw`] from nothing but noise.
    fn draw_from_noise(
        &self,
        common: &Common,
        solver: &SolverArgs,
        conditions: &[Condition],
        guidance_scale: f64,
    ) -> anyhow::Result<Vec<f32>> {
        let negative = common.negative(self)?;
        let [channels, height, width] = self.shape;
        self.draw(
            conditions,
            &negative,
            guidance_scale,
            common.seed,
            |guidance, mut rngs| {
                let shape = (rngs.len(), channels, height, width);
                let x = noise_per_image(&self.device, shape, &mut rngs);
                let denoise = guidance.denoiser(&self.device, &self.model.network);
                let solver = solver.for_model(&self.model)?;
                let images = walk(solver, x, &self.timesteps, rngs, denoise).finish();
                check_finite(&images)?;
                Ok(images)
            },
        )
    }

    fn check_grid(
        &self,
        count: usize,
        columns: usize,
        scale: u32,
    ) -> anyhow::Result<()> {
        check_memory(self.model.network.unet.config(), self.shape, count, BATCH)?;
        Ok(figures::check_grid(count, columns, self.shape, scale as usize)?)
    }

    fn save(
        &self,
        out: &Path,
        values: Vec<f32>,
        columns: usize,
        scale: u32,
    ) -> anyhow::Result<()> {
        figures::save_png(
            out,
            &figures::image_grid(&self.images(values), columns, scale as usize),
        )?;
        cli::println!("wrote {}", out.display());
        Ok(())
    }
}
