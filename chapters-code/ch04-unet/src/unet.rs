//! The network: down, through the middle, and up again, with a skip across at every
//! size.

use dfdx::prelude::*;
use ops::layers::{Conv2d, GroupNorm, Linear};
use ops::{Conv2dOptions, Images, Rows, UNetDevice};
use rand::Rng;

use crate::blocks::{time_embedding, Common, Downsample, Stage, Upsample};
use crate::{ConfigError, UNetConfig};

// ANCHOR: unet
/// The U-Net.
#[derive(Clone, Debug)]
pub struct UNet<D: UNetDevice> {
    config: UNetConfig,
    conv_in: Conv2d<D>,
    time_linear_1: Linear<D>,
    time_linear_2: Linear<D>,
    down: Vec<Stage<D>>,
    middle: Stage<D>,
    up: Vec<Stage<D>>,
    conv_norm_out: GroupNorm<D>,
    conv_out: Conv2d<D>,
}
// ANCHOR_END: unet

// ANCHOR: hook
/// Called between the blocks of a network, and given what passes from one to the next.
/// Chapter 8 uses it to tell the network what to draw.
pub trait BlockHook<D: UNetDevice, T: Tape<f32, D>> {
    /// Takes the time embedding `(batch, time_width)`, and returns another in its
    /// place; the blocks see its SiLU.
    fn time(&mut self, time: Rows<D, T>) -> Rows<D, T> {
        time
    }

    /// Takes what leaves block number `block` of a stage, and returns what the next one
    /// sees.
    fn after(&mut self, _stage: &str, _block: usize, x: Images<D, T>) -> Images<D, T> {
        x
    }

    /// Takes a skip on its way across to block number `block` of a stage, and returns
    /// what that block sees.
    fn skip(&mut self, _stage: &str, _block: usize, x: Images<D, T>) -> Images<D, T> {
        x
    }
}

/// Changes nothing.
impl<D: UNetDevice, T: Tape<f32, D>> BlockHook<D, T> for () {}
// ANCHOR_END: hook

impl<D: UNetDevice> UNet<D> {
    // ANCHOR: new
    /// A network with random weights from `rng`.
    ///
    /// # Errors
    /// If the configuration is not one that this crate can build.
    pub fn new(
        device: &D,
        config: &UNetConfig,
        rng: &mut impl Rng,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        let first = config.block_out_channels[0];
        let common = Common {
            groups: config.norm_num_groups,
            eps: config.norm_eps as f32,
            time_width: config.time_width(),
            scale: 1.0,
        };
        let same = Conv2dOptions::padded(1);

        let conv_in = Conv2d::new(device, rng, config.in_channels, first, 3, same);
        let time_linear_1 = Linear::new(device, rng, first, common.time_width);
        let time_linear_2 =
            Linear::new(device, rng, common.time_width, common.time_width);

        let plan = config.plan();
        let mut down = Vec::new();
        for plan in &plan.down {
            let mut stage = Stage::new(device, rng, common, plan);
            let padding = config.downsample_padding;
            stage.downsample = plan
                .resizes
                .then(|| Downsample::new(device, rng, plan.channels, padding));
            down.push(stage);
        }
        let groups = config.attn_norm_num_groups.unwrap_or(common.groups);
        let scaled = Common { scale: config.mid_block_scale_factor as f32, ..common };
        let middle = Stage::middle(device, rng, scaled, groups, &plan.middle);
        let mut up = Vec::new();
        for plan in &plan.up {
            let mut stage = Stage::new(device, rng, common, plan);
            stage.upsample =
                plan.resizes.then(|| Upsample::new(device, rng, plan.channels));
            up.push(stage);
        }

        let conv_norm_out = GroupNorm::new(device, common.groups, first, common.eps);
        let conv_out = Conv2d::new(device, rng, first, config.out_channels, 3, same);
        let config = config.clone();
        Ok(Self {
            config,
            conv_in,
            time_linear_1,
            time_linear_2,
            down,
            middle,
            up,
            conv_norm_out,
            conv_out,
        })
    }
    // ANCHOR_END: new

    /// What the network was built from.
    pub fn config(&self) -> &UNetConfig {
        &self.config
    }

    /// A stage by the name that [`BlockHook`] is given: `"down_blocks.0"`, `"mid_block"`.
    pub fn stage(&self, name: &str) -> Option<&Stage<D>> {
        let level = |prefix: &str| name.strip_prefix(prefix)?.parse::<usize>().ok();
        match (level("down_blocks."), level("up_blocks.")) {
            (Some(level), _) => self.down.get(level),
            (_, Some(level)) => self.up.get(level),
            _ => (name == "mid_block").then_some(&self.middle),
        }
    }

    // ANCHOR: forward
    /// The network's answer to x_t: `(batch, in_channels, h, w)` to `(batch,
    /// out_channels, h, w)`.
    ///
    /// # Panics
    /// If there is not one timestep per image, or if height or width cannot be halved
    /// as often as the network halves them.
    pub fn forward<T: Tape<f32, D> + Merge<T>>(
        &self,
        x_t: Images<D, T>,
        timesteps: &[usize],
    ) -> Images<D, T> {
        self.forward_with(x_t, timesteps, &mut ())
    }

    /// [`UNet::forward`] with a hook.
    ///
    /// # Panics
    /// As [`UNet::forward`].
    pub fn forward_with<T: Tape<f32, D> + Merge<T>>(
        &self,
        x_t: Images<D, T>,
        timesteps: &[usize],
        hook: &mut impl BlockHook<D, T>,
    ) -> Images<D, T> {
        let (batch, _, h, w) = *x_t.shape();
        assert_eq!(timesteps.len(), batch, "one timestep per image");
        let factor = self.config.size_factor();
        assert!(
            h % factor == 0 && w % factor == 0,
            "a {h}x{w} image cannot be halved {} times",
            self.down.len() - 1
        );
        let x_t = if self.config.center_input_sample { x_t * 2.0 - 1.0 } else { x_t };
        // ANCHOR_END: forward

        // ANCHOR: time
        // t as a vector, through two layers.
        let width = self.config.block_out_channels[0];
        let shift = self.config.freq_shift as f64;
        let time = time_embedding(
            x_t.device(),
            timesteps,
            width,
            self.config.flip_sin_to_cos,
            shift,
        );
        let time = ops::silu(self.time_linear_1.forward(time.put_tape(T::default())));
        let time = ops::silu(hook.time(self.time_linear_2.forward(time)));
        // Every block gets a copy. The embedding's tape is kept only once, merged with
        // the image's.
        let (time, time_tape) = time.split_tape();
        let (x_t, tape) = x_t.split_tape();
        // ANCHOR_END: time

        // ANCHOR: down
        let mut x = self.conv_in.forward(x_t.put_tape(tape.merge(time_tape)));
        x = hook.after("conv_in", 0, x);
        let mut skips = vec![x.with_empty_tape()];
        for (level, stage) in self.down.iter().enumerate() {
            let name = format!("down_blocks.{level}");
            for i in 0..stage.resnets.len() {
                x = hook.after(&name, i, stage.block(i, x, time.retaped()));
                skips.push(x.with_empty_tape());
            }
            if let Some(downsample) = &stage.downsample {
                x = hook.after(
                    &format!("{name}.downsamplers.0"),
                    0,
                    downsample.forward(x),
                );
                skips.push(x.with_empty_tape());
            }
        }
        // ANCHOR_END: down

        // ANCHOR: up
        for i in 0..self.middle.resnets.len() {
            x = hook.after("mid_block", i, self.middle.block(i, x, time.retaped()));
        }

        for (level, stage) in self.up.iter().enumerate() {
            let name = format!("up_blocks.{level}");
            for i in 0..stage.resnets.len() {
                let skip = skips.pop().expect("as many skips up as down");
                x = ops::concat_channels(x, hook.skip(&name, i, skip));
                x = hook.after(&name, i, stage.block(i, x, time.retaped()));
            }
            if let Some(upsample) = &stage.upsample {
                x = hook.after(&format!("{name}.upsamplers.0"), 0, upsample.forward(x));
            }
        }
        x = self.conv_out.forward(self.conv_norm_out.forward_silu(x));
        hook.after("conv_out", 0, x)
        // ANCHOR_END: up
    }
}

ops::parameters!(UNet {
    conv_in,
    time_linear_1 as "time_embedding.linear_1",
    time_linear_2 as "time_embedding.linear_2",
    down as "down_blocks",
    middle as "mid_block",
    up as "up_blocks",
    conv_norm_out,
    conv_out
});
