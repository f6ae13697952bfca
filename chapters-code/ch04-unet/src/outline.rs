//! The tensors that a configuration implies, listed without building them: a file of
//! weights is compared with this list before any memory is taken.

use std::fmt::Display;

use ops::params::Outline;

use crate::{ConfigError, UNetConfig};

/// Adds the tensors of a [`crate::ResnetBlock`].
fn add_resnet(
    outline: &mut Outline,
    name: impl Display,
    cin: usize,
    cout: usize,
    time: usize,
) {
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

/// Adds the blocks of a [`crate::Stage`]: one that takes `cin[i]` channels for each of
/// `cin`.
fn add_stage(
    outline: &mut Outline,
    name: &str,
    cin: &[usize],
    cout: usize,
    attentions: usize,
    time: usize,
) {
    for (i, &cin) in cin.iter().enumerate() {
        add_resnet(outline, format_args!("{name}.resnets.{i}"), cin, cout, time);
    }
    for i in 0..attentions {
        add_attention(outline, format_args!("{name}.attentions.{i}"), cout);
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
        let mut outline = Outline::default();
        outline.conv("conv_in", self.in_channels, first, 3);
        outline.linear("time_embedding.linear_1", first, time);
        outline.linear("time_embedding.linear_2", time, time);
        let bridges = self.add_down(&mut outline);
        let last = self.block_out_channels[self.block_out_channels.len() - 1];
        let attentions = self.add_attention as usize;
        add_stage(&mut outline, "mid_block", &[last; 2], last, attentions, time);
        self.add_up(&mut outline, bridges);
        outline.norm("conv_norm_out", first);
        outline.conv("conv_out", first, self.out_channels, 3);
        Ok(outline)
    }

    /// The way down. Returns the channels of every bridge.
    fn add_down(&self, outline: &mut Outline) -> Vec<usize> {
        let (layers, levels) = (self.layers_per_block, self.block_out_channels.len());
        let mut bridges = vec![self.block_out_channels[0]];
        for (level, &width) in self.block_out_channels.iter().enumerate() {
            let name = format!("down_blocks.{level}");
            let mut cin = vec![width; layers];
            cin[0] = bridges[bridges.len() - 1];
            let attentions =
                if self.down_block_types[level].has_attention() { layers } else { 0 };
            add_stage(outline, &name, &cin, width, attentions, self.time_width());
            bridges.extend(vec![width; layers]);
            if level + 1 < levels {
                outline.conv(
                    format_args!("{name}.downsamplers.0.conv"),
                    width,
                    width,
                    3,
                );
                bridges.push(width);
            }
        }
        bridges
    }

    /// The way up, which takes the bridges from the last to the first.
    fn add_up(&self, outline: &mut Outline, mut bridges: Vec<usize>) {
        let (blocks, levels) =
            (self.layers_per_block + 1, self.block_out_channels.len());
        let mut current = self.block_out_channels[levels - 1];
        for (level, &width) in self.block_out_channels.iter().rev().enumerate() {
            let name = format!("up_blocks.{level}");
            let mut cin = bridges.split_off(bridges.len() - blocks);
            cin.reverse();
            for channels in &mut cin {
                *channels += std::mem::replace(&mut current, width);
            }
            let attentions =
                if self.up_block_types[level].has_attention() { blocks } else { 0 };
            add_stage(outline, &name, &cin, width, attentions, self.time_width());
            if level + 1 < levels {
                outline.conv(format_args!("{name}.upsamplers.0.conv"), width, width, 3);
            }
        }
    }
}
