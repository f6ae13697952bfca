//! What each stage of a network is built of, according to the network's configuration.

use crate::blocks::{AttentionSize, ResnetSize};
use crate::UNetConfig;

/// The stages of a network.
pub(crate) struct Plan {
    pub down: Vec<StagePlan>,
    pub middle: StagePlan,
    pub up: Vec<StagePlan>,
}

/// What a [`crate::Stage`] is built of.
pub(crate) struct StagePlan {
    /// The residual blocks, in order.
    pub resnets: Vec<ResnetSize>,
    /// The attention blocks, each after the residual block with the same number.
    pub attentions: Vec<AttentionSize>,
    /// Channels that leave the stage.
    pub channels: usize,
    /// Whether the size of the image changes at the end.
    pub resizes: bool,
}

impl UNetConfig {
    pub(crate) fn plan(&self) -> Plan {
        let (down, skips) = self.plan_down();
        Plan { down, middle: self.plan_middle(), up: self.plan_up(skips) }
    }

    /// The way down, and the channels of every skip, in the order in which the skips are built.
    fn plan_down(&self) -> (Vec<StagePlan>, Vec<usize>) {
        let layers = self.layers_per_block;
        let mut skips = vec![self.block_out_channels[0]];
        let mut down = Vec::new();
        for (level, &width) in self.block_out_channels.iter().enumerate() {
            let mut cin = vec![width; layers];
            cin[0] = skips[skips.len() - 1];
            let resizes = level + 1 < self.block_out_channels.len();
            let attends = self.down_block_types[level].has_attention();
            down.push(self.plan_stage(&cin, width, attends, resizes));
            skips.extend(vec![width; layers + resizes as usize]);
        }
        (down, skips)
    }

    fn plan_middle(&self) -> StagePlan {
        let last = self.block_out_channels[self.block_out_channels.len() - 1];
        let mut middle = self.plan_stage(&[last; 2], last, self.add_attention, false);
        middle.attentions.truncate(1);
        middle
    }

    /// The way up, which takes the skips from the last to the first.
    fn plan_up(&self, mut skips: Vec<usize>) -> Vec<StagePlan> {
        let (blocks, levels) =
            (self.layers_per_block + 1, self.block_out_channels.len());
        let mut current = self.block_out_channels[levels - 1];
        let mut up = Vec::new();
        for (level, &width) in self.block_out_channels.iter().rev().enumerate() {
            let mut cin = skips.split_off(skips.len() - blocks);
            cin.reverse();
            for channels in &mut cin {
                *channels += std::mem::replace(&mut current, width);
            }
            let attends = self.up_block_types[level].has_attention();
            up.push(self.plan_stage(&cin, width, attends, level + 1 < levels));
        }
        up
    }

    /// A stage whose residual blocks take in these channels.
    fn plan_stage(
        &self,
        cin: &[usize],
        channels: usize,
        attends: bool,
        resizes: bool,
    ) -> StagePlan {
        let attention = |_| AttentionSize { channels, heads: self.heads(channels) };
        let attentions = if attends { cin.len() } else { 0 };
        StagePlan {
            resnets: cin
                .iter()
                .map(|&cin| ResnetSize { cin, cout: channels })
                .collect(),
            attentions: (0..attentions).map(attention).collect(),
            channels,
            resizes,
        }
    }
}
