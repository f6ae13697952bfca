//! The commands that draw: `sample`, `scales`, `vary` and `inpaint`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use ch01_tensors::read_image;
use ch03_forward::rng;
use ch06_sampling::noise_per_image;
use ch07_ddim::flags::{Solver, Spacing, Way};
use ch07_ddim::Ddim;
use ch08_conditioning::model::{self, ConditionalModel};
use ch08_conditioning::{from_image, inpaint, Condition, ConditioningConfig, Guidance};
use cli::progress::Progress;
use ops::{AutoDevice, Images};

/// What every command needs.
#[derive(clap::Args)]
pub struct Common {
    /// The model directory (default: the cats that come with this book, or with --label its digits)
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// What to draw, in words
    #[arg(long, conflicts_with = "label")]
    prompt: Option<String>,
    /// What to draw, as the number of a class
    #[arg(long)]
    label: Option<usize>,
    /// What not to draw, in words
    #[arg(long)]
    negative_prompt: Option<String>,
    /// Decides the noise: image i of a seed always begins with the same
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
    /// `[channels, height, width]`
    shape: [usize; 3],
    timesteps: Vec<usize>,
    name: String,
}

/// Images that go through the network together.
const BATCH: usize = 64;

impl Common {
    fn open(&self) -> anyhow::Result<Ready> {
        cli::set_threads(self.threads.map(|t| t as usize))?;
        let device = cli::device(0)?;
        let shipped = if self.label.is_some() { "mnist-class" } else { "cats-text" };
        let directory = cli::model_or_shipped(self.model.as_deref(), shipped);
        let name = directory.display().to_string();
        let model = model::load(&device, &directory)?;
        let unet = model.network.unet.config();
        let shape = unet.input_shape().with_context(|| format!("{name}: the config has no sample_size"))?;
        let timesteps = self.spacing.timesteps(model.schedule.len(), self.steps)?;
        Ok(Ready { device, model, shape, timesteps, name })
    }

    /// What the flags ask for.
    fn condition(&self, ready: &Ready) -> anyhow::Result<Condition> {
        match (&self.prompt, self.label) {
            (Some(prompt), _) => ready.read(prompt),
            (None, Some(label)) => ready.class(label),
            (None, None) => Ok(Condition::Nothing),
        }
    }

    /// What they do not want.
    fn negative(&self, ready: &Ready) -> anyhow::Result<Condition> {
        self.negative_prompt.as_ref().map_or(Ok(Condition::Nothing), |prompt| ready.read(prompt))
    }
}

impl Ready {
    /// A prompt as the network reads it.
    fn read(&self, prompt: &str) -> anyhow::Result<Condition> {
        match &self.model.file.conditioning {
            ConditioningConfig::Text(text) => Ok(Condition::Words(text.vocabulary.encode(prompt, text.max_words)?)),
            ConditioningConfig::Class { num_classes } => anyhow::bail!(
                "{} does not read prompts: say one of its {num_classes} classes with --label (from 0)",
                self.name
            ),
        }
    }

    /// A class that the network knows.
    fn class(&self, label: usize) -> anyhow::Result<Condition> {
        match &self.model.file.conditioning {
            ConditioningConfig::Class { num_classes } => {
                let last = num_classes - 1;
                anyhow::ensure!(label <= last, "--label {label}: {} knows the classes 0 to {last}", self.name);
                Ok(Condition::Label(label))
            }
            ConditioningConfig::Text(_) => {
                anyhow::bail!("{} reads prompts and knows no classes: use --prompt", self.name)
            }
        }
    }

    fn ddim(&self, eta: f64) -> Ddim<'_> {
        let (prediction_type, clip) = (self.model.scheduler.prediction_type, self.model.scheduler.clip());
        Ddim::new(&self.model.schedule, prediction_type, clip, eta)
    }

    fn images(&self, values: Vec<f32>) -> Images<AutoDevice> {
        let [channels, height, width] = self.shape;
        let count = values.len() / (channels * height * width);
        ops::tensor(&self.device, values, (count, channels, height, width))
    }

    /// Draws an image for each condition with `draw`, which is given the guidance and the random sources of some of them.
    fn draw(
        &self,
        conditions: &[Condition],
        negative: &Condition,
        guidance_scale: f64,
        seed: u64,
        draw: impl Fn(Guidance, &mut [rand_chacha::ChaCha8Rng]) -> anyhow::Result<Images<AutoDevice>>,
    ) -> anyhow::Result<Vec<f32>> {
        let mut progress = Progress::new(conditions.len() as u64, 0);
        let mut drawn = Vec::new();
        for (batch, conditions) in conditions.chunks(BATCH).enumerate() {
            let (first, size) = (batch * BATCH, conditions.len());
            let mut rngs: Vec<_> = (first..first + size).map(|image| rng(seed, image as u64)).collect();
            let guidance =
                Guidance { conditions: conditions.to_vec(), negative: vec![negative.clone(); size], guidance_scale };
            let images = draw(guidance, &mut rngs).with_context(|| self.name.clone())?;
            drawn.extend(images.as_vec());
            progress.update((first + size) as u64, || format!("{} images", first + size));
        }
        progress.finish();
        Ok(drawn)
    }

    /// [`Ready::draw`] from nothing but noise.
    fn draw_from_noise(
        &self,
        common: &Common,
        way: &Way,
        conditions: &[Condition],
        guidance_scale: f64,
    ) -> anyhow::Result<Vec<f32>> {
        let negative = common.negative(self)?;
        let [channels, height, width] = self.shape;
        self.draw(conditions, &negative, guidance_scale, common.seed, |guidance, rngs| {
            let x = noise_per_image(&self.device, (rngs.len(), channels, height, width), rngs);
            let denoise = guidance.denoiser(&self.device, &self.model.network);
            way.go(self.ddim(0.0), &self.timesteps, x, rngs, denoise)
        })
    }

    fn save(&self, out: &Path, values: Vec<f32>, columns: usize, scale: u32) -> anyhow::Result<()> {
        figures::save_png(out, &figures::image_grid(&self.images(values), columns, scale as usize))?;
        println!("wrote {}", out.display());
        Ok(())
    }
}

pub fn guidance_scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if scale.is_finite() && scale >= 0.0 => Ok(scale),
        _ => Err("a guidance scale is a number not below 0".into()),
    }
}

#[derive(clap::Args)]
pub struct SampleArgs {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    way: Way,
    /// How strongly to insist on what is asked for: 0 not at all, 1 as the network was trained
    #[arg(long, default_value_t = 1.5, value_parser = guidance_scale, allow_negative_numbers = true)]
    guidance_scale: f64,
    /// How many images to draw
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// Prompts from a file, one per line: one image of each
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prompt", "label", "count"])]
    prompts: Option<PathBuf>,
    /// The grid of images to write (PNG)
    #[arg(long, default_value = "samples.png")]
    out: PathBuf,
}

/// Draws what is asked for.
pub fn sample(args: SampleArgs) -> anyhow::Result<()> {
    let ready = args.common.open()?;
    let conditions = match &args.prompts {
        Some(path) => {
            let text = files::read(path)?;
            let text = String::from_utf8(text).with_context(|| format!("{} is not text", path.display()))?;
            let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
            let read = |(i, line)| ready.read(line).with_context(|| format!("{}, line {}", path.display(), i + 1));
            let conditions: Vec<Condition> = lines.map(read).collect::<anyhow::Result<_>>()?;
            anyhow::ensure!(!conditions.is_empty(), "{} holds no prompt", path.display());
            conditions
        }
        None => vec![args.common.condition(&ready)?; args.count as usize],
    };
    let start = std::time::Instant::now();
    let drawn = ready.draw_from_noise(&args.common, &args.way, &conditions, args.guidance_scale)?;
    let (count, steps) = (conditions.len(), args.common.steps);
    println!("{count} images in {steps} steps each: {:.2} images/s", count as f64 / start.elapsed().as_secs_f64());
    ready.save(&args.out, drawn, (count as f64).sqrt().ceil() as usize, args.common.scale)
}

#[derive(clap::Args)]
pub struct ScalesArgs {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    way: Way,
    /// Guidance scales, a row for each
    #[arg(long, value_delimiter = ',', default_values_t = [0.0, 1.0, 2.0, 4.0, 8.0], value_parser = guidance_scale)]
    guidance_scales: Vec<f64>,
    /// How many images in a row
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    count: u32,
    /// The picture to write (PNG)
    #[arg(long, default_value = "scales.png")]
    out: PathBuf,
}

/// Draws from the same noise with several guidance scales.
pub fn scales(args: ScalesArgs) -> anyhow::Result<()> {
    let ready = args.common.open()?;
    let conditions = vec![args.common.condition(&ready)?; args.count as usize];
    let mut rows = Vec::new();
    for &scale in &args.guidance_scales {
        rows.extend(ready.draw_from_noise(&args.common, &args.way, &conditions, scale)?);
    }
    println!("rows: guidance scale {:?}", args.guidance_scales);
    ready.save(&args.out, rows, args.count as usize, args.common.scale)
}

#[derive(clap::Args)]
pub struct VaryArgs {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    way: Way,
    /// How strongly to insist on what is asked for
    #[arg(long, default_value_t = 1.5, value_parser = guidance_scale, allow_negative_numbers = true)]
    guidance_scale: f64,
    /// The image to begin with (PNG, JPEG, …); it is cut and scaled to the model's size
    #[arg(long, value_name = "FILE")]
    image: PathBuf,
    /// How much of it to give up, 0 to 1; every number makes a row
    #[arg(long, value_delimiter = ',', default_values_t = [0.2, 0.4, 0.6, 0.8], value_parser = strength, allow_negative_numbers = true)]
    strength: Vec<f64>,
    /// How many images in a row
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    count: u32,
    /// The picture to write (PNG): the image, then the rows
    #[arg(long, default_value = "varied.png")]
    out: PathBuf,
}

fn strength(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(strength) if (0.0..=1.0).contains(&strength) => Ok(strength),
        _ => Err("a strength is a number from 0 to 1".into()),
    }
}

/// Image to image.
pub fn vary(args: VaryArgs) -> anyhow::Result<()> {
    anyhow::ensure!(args.way.solver == Solver::Ddim, "--solver: images are varied with ddim only");
    let ready = args.common.open()?;
    let image = read_image(&args.image, ready.shape)?;
    let count = args.count as usize;
    let conditions = vec![args.common.condition(&ready)?; count];
    let negative = args.common.negative(&ready)?;
    let mut rows = image.values.repeat(count);
    for &strength in &args.strength {
        rows.extend(ready.draw(&conditions, &negative, args.guidance_scale, args.common.seed, |guidance, rngs| {
            let images = ready.images(image.values.repeat(rngs.len()));
            let denoise = guidance.denoiser(&ready.device, &ready.model.network);
            Ok(from_image(&ready.ddim(args.way.eta), images, strength, &ready.timesteps, rngs, denoise))
        })?);
    }
    ready.save(&args.out, rows, count, args.common.scale)
}

#[derive(clap::Args)]
pub struct InpaintArgs {
    #[command(flatten)]
    common: Common,
    /// How strongly to insist on what is asked for
    #[arg(long, default_value_t = 1.5, value_parser = guidance_scale, allow_negative_numbers = true)]
    guidance_scale: f64,
    /// The image to change (PNG, JPEG, …); it is cut and scaled to the model's size
    #[arg(long, value_name = "FILE")]
    image: PathBuf,
    /// Where to draw anew: an image of the same size, white there and black elsewhere
    #[arg(long, value_name = "FILE")]
    mask: PathBuf,
    /// How often to do every step, so that new and old fit together
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    resamplings: u32,
    /// How many images to draw
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// The picture to write (PNG): the image, the mask, and what was drawn
    #[arg(long, default_value = "inpainted.png")]
    out: PathBuf,
}

/// Draws a part of an image anew.
pub fn inpainting(args: InpaintArgs) -> anyhow::Result<()> {
    let ready = args.common.open()?;
    let [channels, height, width] = ready.shape;
    let image = read_image(&args.image, ready.shape)?;
    let mask = read_image(&args.mask, [1, height, width])?;
    anyhow::ensure!(
        mask.size == image.size,
        "{} is {}x{} pixels, but {} is {}x{}: the mask must be of the image's size",
        args.mask.display(),
        mask.size[1],
        mask.size[0],
        args.image.display(),
        image.size[1],
        image.size[0]
    );
    // From [-1, 1] to 0 or 1, for every channel.
    let repaint: Vec<f32> = mask.values.repeat(channels).iter().map(|&v| (v > 0.0) as u8 as f32).collect();
    let conditions = vec![args.common.condition(&ready)?; args.count as usize];
    let negative = args.common.negative(&ready)?;
    let mut shown = [image.values.clone(), mask.values.repeat(channels)].concat();
    shown.extend(ready.draw(&conditions, &negative, args.guidance_scale, args.common.seed, |guidance, rngs| {
        let (images, repaint) =
            (ready.images(image.values.repeat(rngs.len())), ready.images(repaint.repeat(rngs.len())));
        let denoise = guidance.denoiser(&ready.device, &ready.model.network);
        let ddim = ready.ddim(1.0); // as RePaint does: with the noise of ancestral sampling
        Ok(inpaint(&ddim, &images, &repaint, &ready.timesteps, args.resamplings as usize, rngs, denoise))
    })?);
    let columns = (args.count as f64 + 2.0).sqrt().ceil() as usize;
    ready.save(&args.out, shown, columns, args.common.scale)
}
