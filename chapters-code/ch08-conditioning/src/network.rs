//! The U-Net of chapter 4, which can now be told more than the timestep.

use ch04_unet::{BlockHook, ConfigError, UNet, UNetConfig};
use dfdx::prelude::*;
use ops::layers::{join, Linear, Parameter, Parameters};
use ops::params::Outline;
use ops::{Images, Rows, UNetDevice};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::label::LabelEmbedding;
use crate::text::{places, CrossAttention, TextConfig, TextEncoder};

// ANCHOR: conditioning_config
/// What a network can be told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ConditioningConfig {
    /// One of this many classes.
    Class { num_classes: usize },
    /// A prompt.
    Text(TextConfig),
}
// ANCHOR_END: conditioning_config

impl ConditioningConfig {
    /// Rejects what this crate cannot build for this U-Net, and sizes beyond all
    /// reason.
    ///
    /// # Errors
    /// The error names the field, its value and what is possible.
    pub fn check(&self, unet: &UNetConfig) -> Result<(), ConfigError> {
        unet.check()?;
        match self {
            Self::Class { num_classes } => {
                ConfigError::check_size("num_classes", *num_classes, 1..=MAX_CLASSES)
            }
            Self::Text(text) => text.check(unet),
        }
    }

    /// Lists the names and shapes of the tensors in the [`Conditioner`] for this U-Net, without
    /// building the conditioner.
    ///
    /// # Errors
    /// If [`ConditioningConfig::check`] rejects the configuration.
    pub fn outline(&self, unet: &UNetConfig) -> Result<Outline, ConfigError> {
        self.check(unet)?;
        Ok(match self {
            Self::Class { num_classes } => {
                let mut outline = Outline::default();
                outline.linear_without_bias(
                    "class_embedding",
                    *num_classes,
                    unet.time_width(),
                );
                outline
            }
            Self::Text(text) => text.outline(unet),
        })
    }

    /// Lists the names and shapes of the tensors in the whole [`ConditionalUNet`].
    ///
    /// # Errors
    /// As [`ConditioningConfig::outline`].
    pub fn network_outline(&self, unet: &UNetConfig) -> Result<Outline, ConfigError> {
        let mut outline = Outline::default();
        outline.append("unet", unet.outline()?);
        outline.append("conditioning", self.outline(unet)?);
        Ok(outline)
    }
}

/// More classes than any data set has.
pub const MAX_CLASSES: usize = 1_000_000;

// ANCHOR: conditioner
/// What a conditional network has besides the U-Net.
#[derive(Clone, Debug)]
pub enum Conditioner<D: UNetDevice> {
    Class(LabelEmbedding<D>),
    Text(Box<TextConditioner<D>>),
}

/// Reads prompts, and hands on what was read.
#[derive(Clone, Debug)]
pub struct TextConditioner<D: UNetDevice> {
    encoder: TextEncoder<D>,
    /// Turns what was read, as a whole, into a vector that is added to the time
    /// embedding.
    pool: Linear<D>,
    /// Stage and block of each place where the U-Net looks at the words, and the
    /// cross-attention there.
    looks: Vec<(String, usize, CrossAttention<D>)>,
}

/// A U-Net and the part that takes in what it is told.
#[derive(Clone, Debug)]
pub struct ConditionalUNet<D: UNetDevice> {
    pub unet: UNet<D>,
    pub conditioner: Conditioner<D>,
}
// ANCHOR_END: conditioner

impl<D: UNetDevice> Conditioner<D> {
    /// Random weights from `rng`, for a U-Net with this configuration.
    ///
    /// # Errors
    /// If a configuration cannot be built.
    pub fn new(
        device: &D,
        unet: &UNetConfig,
        conditioning: &ConditioningConfig,
        rng: &mut impl Rng,
    ) -> Result<Self, ConfigError> {
        conditioning.check(unet)?;
        Ok(match conditioning {
            ConditioningConfig::Class { num_classes } => Self::Class(
                LabelEmbedding::new(device, rng, *num_classes, unet.time_width()),
            ),
            ConditioningConfig::Text(text) => {
                let encoder = TextEncoder::new(device, rng, text);
                let pool =
                    Linear::without_bias(device, rng, text.width, unet.time_width());
                let mut looks = Vec::new();
                for (stage, block, channels) in places(unet) {
                    let look = CrossAttention::new(
                        device,
                        rng,
                        channels,
                        unet.norm_num_groups,
                        text,
                    );
                    looks.push((stage, block, look));
                }
                Self::Text(Box::new(TextConditioner { encoder, pool, looks }))
            }
        })
    }
}

impl<D: UNetDevice> ConditionalUNet<D> {
    // ANCHOR: new
    /// Random weights from `rng`, those of the U-Net first.
    ///
    /// # Errors
    /// If a configuration cannot be built.
    pub fn new(
        device: &D,
        unet: &UNetConfig,
        conditioning: &ConditioningConfig,
        rng: &mut impl Rng,
    ) -> Result<Self, ConfigError> {
        conditioning.check(unet)?;
        let built = UNet::new(device, unet, rng)?;
        Ok(Self {
            unet: built,
            conditioner: Conditioner::new(device, unet, conditioning, rng)?,
        })
    }
    // ANCHOR_END: new

    // ANCHOR: forward
    /// The network's answer to x_t `(batch, channels, h, w)`, given a timestep and a
    /// condition for each image.
    ///
    /// # Panics
    /// If there is not exactly one timestep and one condition per image, or if a
    /// condition is not of the kind that the network understands.
    pub fn forward<T: Tape<f32, D> + Merge<T>>(
        &self,
        x_t: Images<D, T>,
        timesteps: &[usize],
        conditions: &[Condition],
    ) -> Images<D, T> {
        assert_eq!(conditions.len(), x_t.shape().0, "one condition per image");
        if conditions.iter().all(|condition| *condition == Condition::Nothing) {
            return self.unet.forward(x_t, timesteps);
        }
        match &self.conditioner {
            Conditioner::Class(embedding) => {
                let labels: Vec<Option<usize>> = conditions.iter().map(label).collect();
                let mut hook = ClassHook(Some(embedding.forward(&labels)));
                self.unet.forward_with(x_t, timesteps, &mut hook)
            }
            Conditioner::Text(reader) => {
                let mut hook = reader.hook::<T>(conditions);
                self.unet.forward_with(x_t, timesteps, &mut hook)
            }
        }
    }
    // ANCHOR_END: forward
}

// ANCHOR: class_hook
/// Adds the label's vector to the time embedding.
struct ClassHook<D: UNetDevice, T: Tape<f32, D>>(Option<Rows<D, T>>);

impl<D: UNetDevice, T: Tape<f32, D> + Merge<T>> BlockHook<D, T> for ClassHook<D, T> {
    fn time(&mut self, time: Rows<D, T>) -> Rows<D, T> {
        match self.0.take() {
            Some(label) => time + label,
            None => time,
        }
    }
}
// ANCHOR_END: class_hook

// ANCHOR: text_hook
/// Carries the encoder's output to every place where the network looks at it. The mean
/// of all words is added to the time embedding, and so reaches every block; which word
/// belongs where is for the cross-attentions to find out.
pub(crate) struct TextHook<'a, D: UNetDevice, T> {
    reader: &'a TextConditioner<D>,
    text: Images<D>,
    /// The record of how the text was read; only the first use of the text gets it.
    tape: Option<T>,
}

impl<D: UNetDevice> TextConditioner<D> {
    /// Reads the prompts.
    pub(crate) fn hook<T: Tape<f32, D> + Merge<T>>(
        &self,
        conditions: &[Condition],
    ) -> TextHook<'_, D, T> {
        let prompts: Vec<Option<&[usize]>> = conditions.iter().map(words).collect();
        let (text, tape) = self.encoder.forward::<T>(&prompts).split_tape();
        TextHook { reader: self, text, tape: Some(tape) }
    }
}
// ANCHOR_END: text_hook

// ANCHOR: text_hook_steps
impl<'a, D: UNetDevice, T: Tape<f32, D> + Merge<T>> TextHook<'a, D, T> {
    pub(crate) fn text(&mut self) -> Images<D, T> {
        self.text.clone().put_tape(self.tape.take().unwrap_or_default())
    }

    /// The cross-attention after this block, if there is one.
    pub(crate) fn look_at(
        &self,
        stage: &str,
        block: usize,
    ) -> Option<&'a CrossAttention<D>> {
        let mut looks = self.reader.looks.iter();
        looks.find(|look| look.0 == stage && look.1 == block).map(|look| &look.2)
    }
}

impl<D: UNetDevice, T: Tape<f32, D> + Merge<T>> BlockHook<D, T> for TextHook<'_, D, T> {
    fn time(&mut self, time: Rows<D, T>) -> Rows<D, T> {
        time + self.reader.pool.forward(self.text().mean::<_, Axes2<2, 3>>())
    }

    fn after(&mut self, stage: &str, block: usize, x: Images<D, T>) -> Images<D, T> {
        match self.look_at(stage, block) {
            Some(look) => look.forward(x, self.text()),
            None => x,
        }
    }
}
// ANCHOR_END: text_hook_steps

fn label(condition: &Condition) -> Option<usize> {
    match condition {
        Condition::Nothing => None,
        Condition::Label(label) => Some(*label),
        Condition::Words(_) => panic!("this network is told classes, not words"),
    }
}

fn words(condition: &Condition) -> Option<&[usize]> {
    match condition {
        Condition::Nothing => None,
        Condition::Words(words) => Some(words),
        Condition::Label(_) => panic!("this network is told words, not classes"),
    }
}

impl<D: UNetDevice> Parameters<D> for Conditioner<D> {
    fn list<'a>(&'a mut self, prefix: &str, all: &mut Vec<Parameter<'a, D>>) {
        match self {
            Self::Class(embedding) => embedding.list(prefix, all),
            Self::Text(reader) => reader.list(prefix, all),
        }
    }
}

impl<D: UNetDevice> Parameters<D> for TextConditioner<D> {
    fn list<'a>(&'a mut self, prefix: &str, all: &mut Vec<Parameter<'a, D>>) {
        self.encoder.list(&join(prefix, "text_encoder"), all);
        self.pool.list(&join(prefix, "text_pool"), all);
        for (stage, block, look) in &mut self.looks {
            let name = format!("{stage}.cross_attentions.{block}");
            look.list(&join(prefix, name), all);
        }
    }
}

ops::parameters!(ConditionalUNet { unet, conditioner as "conditioning" });
