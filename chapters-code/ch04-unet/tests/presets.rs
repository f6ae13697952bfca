//! The presets: the networks that they build, and how the image size changes them.

use ch04_unet::{BlockType, Preset};

#[test]
fn the_small_preset_follows_the_size_of_the_images() {
    assert_eq!(Preset::Small.config([3, 16, 16]), Preset::Cats.config([3, 16, 16]));
    for (side, levels, attends_at) in [
        (16, 3, 8),
        (28, 3, 7),
        (32, 4, 8),
        (48, 5, 6),
        (64, 5, 8),
        (100, 3, 0),
        (256, 7, 8),
        (31, 1, 0),
        (8, 2, 8),
    ] {
        let config = Preset::Small.config([3, side, side]);
        config.check().unwrap_or_else(|e| panic!("{side}: {e}"));
        assert_eq!(config.block_out_channels.len(), levels, "{side}");
        let attends = config
            .down_block_types
            .iter()
            .position(|&kind| kind == BlockType::AttnDownBlock2D);
        assert_eq!(attends.map_or(0, |level| side >> level), attends_at, "{side}");
    }
}

/// Checked against a sum done by hand: three levels of 16, 8 and 4 pixels, one residual block on
/// the way down and two on the way up, attention at 8 pixels, and two residual blocks and attention
/// in the middle.
#[test]
fn features_are_what_leaves_the_blocks() {
    let by_hand = 3 * 32 * 256 + (3 + 3) * 64 * 64 + (3 + 2 + 1) * 64 * 16;
    assert_eq!(Preset::Cats.config([3, 16, 16]).features([16, 16]), by_hand);
    // Sizes that no memory could hold do not overflow.
    let large = Preset::DdpmCifar10.config([3, 8192, 8192]);
    assert!(large.features([8192, 8192]) > 1 << 36);
}
