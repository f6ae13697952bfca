//! Words as something to tell the network: an encoder that reads them, and
//! cross-attention that looks at what was read.

use std::iter::repeat_n;

use ch04_unet::{
    add_attention, AttentionBlock, AttentionSize, Common, ConfigError, UNetConfig,
};
use ch04_unet::{MAX_CHANNELS, MAX_LAYERS};
use dfdx::prelude::*;
use ops::layers::{GroupNorm, Linear};
use ops::params::Outline;
use ops::{Images, UNetDevice};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::words::{PromptError, Tokenizer};

// ANCHOR: text_config
/// What a text encoder looks like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextConfig {
    /// The words that it knows.
    pub vocabulary: Tokenizer,
    /// The number of words that it reads; places without a word are filled with
    /// silence.
    pub max_words: usize,
    /// Numbers per word inside the encoder.
    pub width: usize,
    /// Transformer blocks.
    pub layers: usize,
    /// Attention heads, here and where the U-Net looks at the words.
    pub heads: usize,
    /// Groups of the encoder's group norms.
    pub groups: usize,
    /// Whether the words of a prompt are sorted, so that their order is lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bag_of_words: bool,
}
// ANCHOR_END: text_config

const EPS: f32 = 1e-5;

// ANCHOR: transformer
/// A transformer block: every word looks at all the others; then, after a norm, each is
/// transformed on its own.
#[derive(Clone, Debug)]
struct TransformerBlock<D: UNetDevice> {
    attention: AttentionBlock<D>,
    norm: GroupNorm<D>,
    widen: Linear<D>,
    narrow: Linear<D>,
}

impl<D: UNetDevice> TransformerBlock<D> {
    fn new(device: &D, rng: &mut impl Rng, config: &TextConfig) -> Self {
        let width = config.width;
        let common =
            Common { groups: config.groups, eps: EPS, time_width: 0, scale: 1.0 };
        let size = AttentionSize { channels: width, heads: config.heads };
        Self {
            attention: AttentionBlock::new(device, rng, common, size),
            norm: GroupNorm::new(device, config.groups, width, EPS),
            widen: Linear::new(device, rng, width, 4 * width),
            narrow: Linear::new(device, rng, 4 * width, width),
        }
    }

    fn forward<T: Tape<f32, D> + Merge<T>>(&self, x: Images<D, T>) -> Images<D, T> {
        let x = self.attention.forward(x);
        let residual = x.with_empty_tape();
        let h = ops::silu(self.widen.forward_pixels(self.norm.forward(x)));
        self.narrow.forward_pixels_plus_images(h, residual)
    }
}
// ANCHOR_END: transformer

/// More words than a table in a small network can hold.
pub const MAX_VOCABULARY: usize = 65_536;
/// More words than anyone writes in a prompt.
pub const MAX_WORDS: usize = 4096;

impl TextConfig {
    /// Rejects what cannot be built for this U-Net, and sizes beyond all reason.
    ///
    /// # Errors
    /// The error names the field, its value and what is possible.
    pub(crate) fn check(&self, unet: &UNetConfig) -> Result<(), ConfigError> {
        let size = ConfigError::check_size;
        size("vocabulary", self.vocabulary.len(), 1..=MAX_VOCABULARY)?;
        if let Some(word) = self.vocabulary.bad_word() {
            return Err(ConfigError::new(
                "vocabulary",
                format_args!("'{word}'"),
                "a word must have letters and occur only once",
            ));
        }
        size("max_words", self.max_words, 1..=MAX_WORDS)?;
        size("width", self.width, 1..=MAX_CHANNELS)?;
        size("layers", self.layers, 0..=MAX_LAYERS)?;
        size("heads", self.heads, 1..=self.width)?;
        size("groups", self.groups, 1..=self.width)?;
        let places = places(unet);
        if places.is_empty() {
            let need = "words are looked at after each attention block, and the U-Net has none";
            return Err(ConfigError::new("text", "asked for", need));
        }
        let mut widths = places.iter().map(|place| place.2).chain([self.width]);
        if let Some(width) = widths.find(|width| !width.is_multiple_of(self.heads)) {
            let need = format!("{width} channels must be a multiple of it");
            return Err(ConfigError::new("heads", self.heads, need));
        }
        match self.width.is_multiple_of(self.groups) {
            true => Ok(()),
            false => {
                let need = format!("width = {} must be a multiple of it", self.width);
                Err(ConfigError::new("groups", self.groups, need))
            }
        }
    }

    /// Lists the names and shapes of the tensors in a conditioner that reads words.
    pub(crate) fn outline(&self, unet: &UNetConfig) -> Outline {
        let mut outline = Outline::default();
        self.add_encoder(&mut outline, "text_encoder");
        outline.linear_without_bias("text_pool", self.width, unet.time_width());
        for (stage, block, channels) in places(unet) {
            let name = format!("{stage}.cross_attentions.{block}");
            outline.norm(format_args!("{name}.norm"), channels);
            let text = self.width;
            for (map, from) in [
                ("to_q", channels),
                ("to_k", text),
                ("to_v", text),
                ("to_out", channels),
            ] {
                outline.linear_without_bias(
                    format_args!("{name}.{map}"),
                    from,
                    channels,
                );
            }
        }
        outline
    }

    fn add_encoder(&self, outline: &mut Outline, name: &str) {
        let width = self.width;
        outline.linear_without_bias(
            format_args!("{name}.words"),
            self.vocabulary.len() + 1,
            width,
        );
        outline.linear_without_bias(
            format_args!("{name}.places"),
            self.max_words,
            width,
        );
        for i in 0..self.layers {
            let name = format!("{name}.blocks.{i}");
            add_attention(outline, format_args!("{name}.attention"), width);
            outline.norm(format_args!("{name}.norm"), width);
            outline.linear(format_args!("{name}.widen"), width, 4 * width);
            outline.linear(format_args!("{name}.narrow"), 4 * width, width);
        }
        outline.norm(format_args!("{name}.norm"), width);
    }

    /// A prompt as the encoder reads it.
    ///
    /// # Errors
    /// If it has a word that is not in the vocabulary, or if it is too long.
    pub fn read(&self, prompt: &str) -> Result<Condition, PromptError> {
        let words = self.vocabulary.encode(prompt, self.max_words)?;
        if words.is_empty() {
            return Err(PromptError::Empty(prompt.to_string()));
        }
        Ok(self.in_order(words))
    }

    /// A caption as the encoder reads it; words that it does not know, and those beyond
    /// `max_words`, are left out.
    pub fn read_known(&self, caption: &str) -> Condition {
        self.in_order(self.vocabulary.known(caption, self.max_words))
    }

    fn in_order(&self, mut words: Vec<usize>) -> Condition {
        if self.bag_of_words {
            words.sort_unstable();
        }
        Condition::Words(words)
    }
}

// ANCHOR: one_hot_pixels
/// Ones and zeros as the channels of pixels: a 1 says which of `width` numbers is at
/// each place in each prompt. Shape `(batch, width, 1, length)`.
///
/// # Panics
/// If an id is not below `width`.
fn one_hot_pixels<D: UNetDevice>(
    device: &D,
    batch: usize,
    width: usize,
    length: usize,
    id: impl Fn(usize, usize) -> usize,
) -> Images<D> {
    let mut values = vec![0.0; batch * width * length];
    for i in 0..batch {
        for place in 0..length {
            let id = id(i, place);
            assert!(id < width, "{id} is not below {width}");
            values[(i * width + id) * length + place] = 1.0;
        }
    }
    ops::tensor(device, values, (batch, width, 1, length))
}
// ANCHOR_END: one_hot_pixels

// ANCHOR: encoder
/// Reads prompts. A prompt is treated as an image of one row whose pixels are words, so
/// everything that chapter 4 built for pixels can be used.
#[derive(Clone, Debug)]
pub struct TextEncoder<D: UNetDevice> {
    config: TextConfig,
    /// A vector for every word, and one for silence.
    words: Linear<D>,
    /// A vector for every place in the prompt.
    places: Linear<D>,
    blocks: Vec<TransformerBlock<D>>,
    norm: GroupNorm<D>,
}

impl<D: UNetDevice> TextEncoder<D> {
    pub fn new(device: &D, rng: &mut impl Rng, config: &TextConfig) -> Self {
        Self {
            words: Linear::without_bias(
                device,
                rng,
                config.vocabulary.len() + 1,
                config.width,
            ),
            places: Linear::without_bias(device, rng, config.max_words, config.width),
            blocks: (0..config.layers)
                .map(|_| TransformerBlock::new(device, rng, config))
                .collect(),
            norm: GroupNorm::new(device, config.groups, config.width, EPS),
            config: config.clone(),
        }
    }
}
// ANCHOR_END: encoder

impl<D: UNetDevice> TextEncoder<D> {
    // ANCHOR: read
    /// What was read, `(prompts, width, 1, max_words)`; zeros where there is no prompt.
    /// Panics if a prompt is too long, or contains an unknown word.
    pub fn forward<T: Tape<f32, D> + Merge<T>>(
        &self,
        prompts: &[Option<&[usize]>],
    ) -> Images<D, T> {
        let device = self.words.weight.device();
        let (batch, length, silence) =
            (prompts.len(), self.config.max_words, self.config.vocabulary.len());
        for words in prompts.iter().flatten().map(|prompt| prompt.len()) {
            assert!(
                words <= length,
                "a prompt of {words} words, but at most {length} are read"
            );
        }
        let word = |i: usize, place: usize| {
            prompts[i].unwrap_or(&[]).get(place).copied().unwrap_or(silence)
        };
        let which_word = one_hot_pixels(device, batch, silence + 1, length, word);
        let which_place =
            one_hot_pixels(device, batch, length, length, |_, place| place);
        let places = self.places.forward_pixels(which_place.put_tape(T::default()));
        let which_word = which_word.put_tape(T::default());
        let mut x = self.words.forward_pixels_plus_images(which_word, places);
        for block in &self.blocks {
            x = block.forward(x);
        }
        let x = self.norm.forward(x);
        // Nothing said is nothing read.
        let (_, width, _, _) = *x.shape();
        let is_there = |p: &Option<_>| p.is_some() as u8 as f32;
        let heard = prompts.iter().flat_map(|p| repeat_n(is_there(p), width * length));
        let heard = ops::tensor(device, heard.collect(), *x.shape());
        x * heard
    }
    // ANCHOR_END: read
}

ops::parameters!(TransformerBlock { attention, norm, widen, narrow });
ops::parameters!(TextEncoder { words, places, blocks, norm });

// ANCHOR: cross_attention
/// Lets every pixel look at every word, with a residual connection around the
/// attention. Values and output have no bias: where nothing was read, nothing is added,
/// and the network is that of chapter 4.
#[derive(Clone, Debug)]
pub struct CrossAttention<D: UNetDevice> {
    pub(crate) norm: GroupNorm<D>,
    pub(crate) to_q: Linear<D>,
    pub(crate) to_k: Linear<D>,
    pub(crate) to_v: Linear<D>,
    pub(crate) to_out: Linear<D>,
    pub(crate) heads: usize,
}

impl<D: UNetDevice> CrossAttention<D> {
    /// Cross-attention from pixels of `channels` numbers to the words of `text`.
    pub fn new(
        device: &D,
        rng: &mut impl Rng,
        channels: usize,
        groups: usize,
        text: &TextConfig,
    ) -> Self {
        let mut map = |from, to| Linear::without_bias(device, rng, from, to);
        Self {
            to_q: map(channels, channels),
            to_k: map(text.width, channels),
            to_v: map(text.width, channels),
            to_out: map(channels, channels),
            norm: GroupNorm::new(device, groups, channels, EPS),
            heads: text.heads,
        }
    }
}
// ANCHOR_END: cross_attention

impl<D: UNetDevice> CrossAttention<D> {
    // ANCHOR: look
    /// Maps `x (batch, channels, h, w)` to the same shape; `text (batch, width, 1,
    /// words)` is what was read.
    pub fn forward<T: Tape<f32, D> + Merge<T>>(
        &self,
        x: Images<D, T>,
        text: Images<D, T>,
    ) -> Images<D, T> {
        let residual = x.with_empty_tape();
        let k = self.to_k.forward_pixels(text.with_empty_tape());
        let v = self.to_v.forward_pixels(text);
        let q = self.to_q.forward_pixels(self.norm.forward(x));
        self.to_out
            .forward_pixels_plus_images(ops::attention(q, k, v, self.heads), residual)
    }
    // ANCHOR_END: look
}

ops::parameters!(CrossAttention { norm, to_q, to_k, to_v, to_out });

// ANCHOR: places
/// Where the U-Net looks at the words: after every block that has self-attention.
/// Stage, block and channels of each place.
pub fn places(unet: &UNetConfig) -> Vec<(String, usize, usize)> {
    let widths = &unet.block_out_channels;
    let mut places = Vec::new();
    for (level, kind) in unet.down_block_types.iter().enumerate() {
        let blocks = if kind.has_attention() { unet.layers_per_block } else { 0 };
        places.extend(
            (0..blocks)
                .map(|block| (format!("down_blocks.{level}"), block, widths[level])),
        );
    }
    if unet.add_attention {
        places.push(("mid_block".into(), 0, widths[widths.len() - 1]));
    }
    for (level, kind) in unet.up_block_types.iter().enumerate() {
        let blocks = if kind.has_attention() { unet.layers_per_block + 1 } else { 0 };
        let width = widths[widths.len() - 1 - level];
        places.extend(
            (0..blocks).map(|block| (format!("up_blocks.{level}"), block, width)),
        );
    }
    places
}
// ANCHOR_END: places
