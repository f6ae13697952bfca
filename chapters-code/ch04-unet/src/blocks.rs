//! The parts: time embedding, residual block, attention, down, up.

use dfdx::prelude::*;
use ops::layers::{Conv2d, GroupNorm, Linear};
use ops::{Conv2dOptions, Images, Rows, UNetDevice};
use rand::Rng;

// ANCHOR: time_embedding
/// A timestep as `width` numbers, so that nearby timesteps look alike and distant ones
/// do not (Vaswani et al. 2017, section 3.5): sines and cosines of t at frequencies
/// from 1 down towards 1/10000. Shape `(timesteps, width)`.
///
/// `cos_first` puts the cosines before the sines; `freq_shift` stretches the range of
/// frequencies (with 1, the lowest is exactly 1/10000). Published models differ in
/// both.
pub fn time_embedding<D: UNetDevice>(
    device: &D,
    timesteps: &[usize],
    width: usize,
    cos_first: bool,
    freq_shift: f64,
) -> Rows<D> {
    let half = width / 2;
    let mut values = Vec::with_capacity(timesteps.len() * width);
    for &t in timesteps {
        let angle = |k: usize| {
            t as f64 * (-(10_000f64.ln()) * k as f64 / (half as f64 - freq_shift)).exp()
        };
        let sines = (0..half).map(|k| angle(k).sin() as f32);
        let cosines = (0..half).map(|k| angle(k).cos() as f32);
        if cos_first {
            values.extend(cosines.chain(sines));
        } else {
            values.extend(sines.chain(cosines));
        }
        values.extend(std::iter::repeat_n(0.0, width % 2));
    }
    ops::tensor(device, values, (timesteps.len(), width))
}
// ANCHOR_END: time_embedding

/// The numbers that the blocks of one network share.
#[derive(Clone, Copy, Debug)]
pub struct Common {
    /// Groups of each group norm.
    pub groups: usize,
    /// Added to the variances in group norms.
    pub eps: f32,
    /// Width of the time embedding that blocks receive.
    pub time_width: usize,
    /// What the sum of a block's input and output is divided by; nearly always 1.
    pub scale: f32,
}

/// Channels that a residual block takes in, and channels that leave it.
#[derive(Clone, Copy, Debug)]
pub struct ResnetSize {
    pub cin: usize,
    pub cout: usize,
}

// ANCHOR: resnet
/// Two convolutions, the time added between them, and a residual connection
/// (He et al. 2016).
#[derive(Clone, Debug)]
pub struct ResnetBlock<D: UNetDevice> {
    norm1: GroupNorm<D>,
    conv1: Conv2d<D>,
    time_emb_proj: Linear<D>,
    norm2: GroupNorm<D>,
    conv2: Conv2d<D>,
    /// Only where the number of channels changes.
    conv_shortcut: Option<Conv2d<D>>,
    scale: f32,
}
// ANCHOR_END: resnet

// ANCHOR: resnet_new
impl<D: UNetDevice> ResnetBlock<D> {
    pub fn new(
        device: &D,
        rng: &mut impl Rng,
        common: Common,
        size: ResnetSize,
    ) -> Self {
        let ResnetSize { cin, cout } = size;
        let same = Conv2dOptions::padded(1);
        Self {
            norm1: GroupNorm::new(device, common.groups, cin, common.eps),
            conv1: Conv2d::new(device, rng, cin, cout, 3, same),
            time_emb_proj: Linear::new(device, rng, common.time_width, cout),
            norm2: GroupNorm::new(device, common.groups, cout, common.eps),
            conv2: Conv2d::new(device, rng, cout, cout, 3, same),
            conv_shortcut: (cin != cout).then(|| {
                Conv2d::new(device, rng, cin, cout, 1, Conv2dOptions::padded(0))
            }),
            scale: common.scale,
        }
    }
}
// ANCHOR_END: resnet_new

impl<D: UNetDevice> ResnetBlock<D> {
    // ANCHOR: resnet_forward
    /// `x (batch, cin, h, w)` to `(batch, cout, h, w)`; `time (batch, time_width)` has
    /// already been through SiLU.
    pub fn forward<T: Tape<f32, D> + Merge<T>>(
        &self,
        x: Images<D, T>,
        time: Rows<D, T>,
    ) -> Images<D, T> {
        let residual = x.with_empty_tape();
        let time = self.time_emb_proj.forward(time);
        let h = self.conv1.forward_plus_channels(self.norm1.forward_silu(x), time);
        let residual = match &self.conv_shortcut {
            Some(conv) => conv.forward(residual),
            None => residual,
        };
        rescale(
            self.conv2.forward_plus_images(self.norm2.forward_silu(h), residual),
            self.scale,
        )
    }
    // ANCHOR_END: resnet_forward
}

/// `x / by`, which costs nothing where `by` is 1.
fn rescale<D: UNetDevice, T: Tape<f32, D>>(x: Images<D, T>, by: f32) -> Images<D, T> {
    if by == 1.0 {
        x
    } else {
        x / by
    }
}

ops::parameters!(ResnetBlock {
    norm1,
    conv1,
    time_emb_proj,
    norm2,
    conv2,
    conv_shortcut
});

/// Channels of an attention block, and the heads that share them.
#[derive(Clone, Copy, Debug)]
pub struct AttentionSize {
    pub channels: usize,
    pub heads: usize,
}

// ANCHOR: attention
/// Lets every pixel look at every other one (Vaswani et al. 2017), with a residual
/// connection around it.
#[derive(Clone, Debug)]
pub struct AttentionBlock<D: UNetDevice> {
    group_norm: GroupNorm<D>,
    to_q: Linear<D>,
    to_k: Linear<D>,
    to_v: Linear<D>,
    to_out: Linear<D>,
    heads: usize,
    scale: f32,
}
// ANCHOR_END: attention

// ANCHOR: attention_new
impl<D: UNetDevice> AttentionBlock<D> {
    pub fn new(
        device: &D,
        rng: &mut impl Rng,
        common: Common,
        size: AttentionSize,
    ) -> Self {
        let AttentionSize { channels, heads } = size;
        let mut linear = || Linear::new(device, rng, channels, channels);
        Self {
            to_q: linear(),
            to_k: linear(),
            to_v: linear(),
            to_out: linear(),
            group_norm: GroupNorm::new(device, common.groups, channels, common.eps),
            heads,
            scale: common.scale,
        }
    }
}
// ANCHOR_END: attention_new

impl<D: UNetDevice> AttentionBlock<D> {
    // ANCHOR: attention_forward
    /// `(batch, channels, h, w)` to the same shape.
    pub fn forward<T: Tape<f32, D> + Merge<T>>(&self, x: Images<D, T>) -> Images<D, T> {
        let residual = x.with_empty_tape();
        let h = self.group_norm.forward(x);
        let k = self.to_k.forward_pixels(h.with_empty_tape());
        let v = self.to_v.forward_pixels(h.with_empty_tape());
        let q = self.to_q.forward_pixels(h);
        let h = ops::attention(q, k, v, self.heads);
        rescale(self.to_out.forward_pixels_plus_images(h, residual), self.scale)
    }
    // ANCHOR_END: attention_forward

    /// How much each pixel of `x` takes from every pixel, averaged over the heads:
    /// `(batch, channels, h, w)` to `(batch, h · w, h, w)`. The shares that a pixel takes
    /// add up to 1.
    pub fn shares(&self, x: Images<D>) -> Images<D> {
        let h = self.group_norm.forward(x);
        let k = self.to_k.forward_pixels(h.clone());
        ops::attention_shares(self.to_q.forward_pixels(h), k, self.heads)
    }
}

ops::parameters!(AttentionBlock { group_norm, to_q, to_k, to_v, to_out as "to_out.0" });

// ANCHOR: down
/// Halves height and width with a convolution of stride 2.
#[derive(Clone, Debug)]
pub struct Downsample<D: UNetDevice> {
    conv: Conv2d<D>,
}

impl<D: UNetDevice> Downsample<D> {
    /// `padding` 1 pads all around; 0 pads below and to the right only, as the paper's
    /// own code did.
    pub fn new(
        device: &D,
        rng: &mut impl Rng,
        channels: usize,
        padding: usize,
    ) -> Self {
        let options = Conv2dOptions { stride: 2, pad_before: padding, pad_after: 1 };
        Self { conv: Conv2d::new(device, rng, channels, channels, 3, options) }
    }

    pub fn forward<T: Tape<f32, D>>(&self, x: Images<D, T>) -> Images<D, T> {
        self.conv.forward(x)
    }
}
// ANCHOR_END: down

// ANCHOR: up
/// Doubles height and width by repeating pixels, then smooths with a convolution.
#[derive(Clone, Debug)]
pub struct Upsample<D: UNetDevice> {
    conv: Conv2d<D>,
}

impl<D: UNetDevice> Upsample<D> {
    pub fn new(device: &D, rng: &mut impl Rng, channels: usize) -> Self {
        Self {
            conv: Conv2d::new(
                device,
                rng,
                channels,
                channels,
                3,
                Conv2dOptions::padded(1),
            ),
        }
    }

    // ANCHOR: up_forward
    /// `(batch, channels, h, w)` to `(batch, channels, 2 * h, 2 * w)`.
    pub fn forward<T: Tape<f32, D>>(&self, x: Images<D, T>) -> Images<D, T> {
        let (_, _, h, w) = *x.shape();
        self.conv.forward(ops::upsample_nearest(x, 2 * h, 2 * w))
    }
    // ANCHOR_END: up_forward
}
// ANCHOR_END: up

// ANCHOR: stage
/// One level of the network on its way down or up: residual blocks, each with or
/// without attention after it, then a change of size, except on the last level in
/// either direction.
#[derive(Clone, Debug)]
pub struct Stage<D: UNetDevice> {
    pub resnets: Vec<ResnetBlock<D>>,
    /// As many as `resnets`, or none; in the middle, one.
    pub attentions: Vec<AttentionBlock<D>>,
    pub downsample: Option<Downsample<D>>,
    pub upsample: Option<Upsample<D>>,
}

impl<D: UNetDevice> Stage<D> {
    /// Residual block number `i` with its attention.
    pub fn block<T: Tape<f32, D> + Merge<T>>(
        &self,
        i: usize,
        x: Images<D, T>,
        time: Rows<D, T>,
    ) -> Images<D, T> {
        let x = self.resnets[i].forward(x, time);
        match self.attentions.get(i) {
            Some(attention) => attention.forward(x),
            None => x,
        }
    }
}
// ANCHOR_END: stage

ops::parameters!(Downsample { conv });
ops::parameters!(Upsample { conv });
ops::parameters!(Stage {
    resnets,
    attentions,
    downsample as "downsamplers.0",
    upsample as "upsamplers.0"
});

#[cfg(test)]
mod tests {
    use super::*;
    use ch03_forward::{rng, standard_normal};

    /// With a single head, attention adds the mean of all values, weighted by the shares.
    #[test]
    fn shares_are_what_attention_mixes_with() {
        let device: ops::AutoDevice = ops::open_device(0).unwrap();
        let common = Common { groups: 2, eps: 1e-5, time_width: 4, scale: 1.0 };
        let size = AttentionSize { channels: 4, heads: 1 };
        let attention = AttentionBlock::new(&device, &mut rng(0, 0), common, size);
        let x = standard_normal(&device, (1, 4, 2, 3), &mut rng(1, 0));
        let shares = attention.shares(x.clone()).as_vec();
        let values = attention.group_norm.forward(x.clone());
        let values = attention.to_v.forward_pixels(values).as_vec();
        let mixed = (0..24).map(|i| {
            let (channel, pixel) = (i / 6, i % 6);
            (0..6)
                .map(|place| shares[place * 6 + pixel] * values[channel * 6 + place])
                .sum()
        });
        let mixed = ops::tensor(&device, mixed.collect(), (1, 4, 2, 3));
        let expected =
            attention.to_out.forward_pixels_plus_images(mixed, x.clone()).as_vec();
        for (found, expected) in attention.forward(x).as_vec().iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
        }
    }
}
