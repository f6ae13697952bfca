//! The tensors that a configuration implies, listed without building them: a file of
//! weights is compared with this list before any memory is allocated.

use std::fmt::Display;

use ops::params::Outline;

use crate::blocks::ResnetSize;
use crate::plan::StagePlan;
use crate::{ConfigError, UNetConfig};

/// Adds the tensors of a [`crate::ResnetBlock`].
fn add_resnet(
    outline: &mut Outline,
    name: impl Display,
    size: ResnetSize,
    time: usize,
) {
    let ResnetSize { cin, cout } = size;
    outline.norm(format_args!("{name}.norm1"), cin);
    outline.conv(format_args!("{name}.conv1"), cin, cout, 3);
    outline.linear(format_args!("{name}.time_emb_proj"), time, cout);
    outline.norm(format_args!("{name}.norm2"), cout);
    outline.conv(format_args!("{name}.conv2"), cout, cout, 3);
    if cin != cout {
        outline.conv(format_args!("{name}.conv_shortcut"), cin, cout, 1);
    }
}

/// Adds the tensors of a [`crate::AttentionBlock`].
pub fn add_attention(outline: &mut Outline, name: impl Display, channels: usize) {
    outline.norm(format_args!("{name}.group_norm"), channels);
    for map in ["to_q", "to_k", "to_v", "to_out.0"] {
        outline.linear(format_args!("{name}.{map}"), channels, channels);
    }
}

/// Adds the tensors of a [`crate::Stage`]; `resize` names the part that changes the size.
fn add_stage(
    outline: &mut Outline,
    name: impl Display,
    stage: &StagePlan,
    time: usize,
    resize: &str,
) {
    for (i, &size) in stage.resnets.iter().enumerate() {
        add_resnet(outline, format_args!("{name}.resnets.{i}"), size, time);
    }
    for (i, size) in stage.attentions.iter().enumerate() {
        add_attention(outline, format_args!("{name}.attentions.{i}"), size.channels);
    }
    if stage.resizes {
        let channels = stage.channels;
        outline.conv(format_args!("{name}.{resize}.0.conv"), channels, channels, 3);
    }
}

impl UNetConfig {
    /// Names and shapes of the tensors of the network that [`crate::UNet::new`] builds.
    ///
    /// # Errors
    /// If [`UNetConfig::check`] rejects the configuration.
    pub fn outline(&self) -> Result<Outline, ConfigError> {
        self.check()?;
        let (first, time) = (self.block_out_channels[0], self.time_width());
        let plan = self.plan();
        let mut outline = Outline::default();
        let all = &mut outline;
        all.conv("conv_in", self.in_channels, first, 3);
        all.linear("time_embedding.linear_1", first, time);
        all.linear("time_embedding.linear_2", time, time);
        for (level, stage) in plan.down.iter().enumerate() {
            let name = format_args!("down_blocks.{level}");
            add_stage(all, name, stage, time, "downsamplers");
        }
        add_stage(all, "mid_block", &plan.middle, time, "");
        for (level, stage) in plan.up.iter().enumerate() {
            add_stage(
                all,
                format_args!("up_blocks.{level}"),
                stage,
                time,
                "upsamplers",
            );
        }
        all.norm("conv_norm_out", first);
        all.conv("conv_out", first, self.out_channels, 3);
        Ok(outline)
    }
}
