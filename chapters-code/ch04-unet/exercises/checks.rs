//! The tests that an answer must pass. Each is named after the function that it tests.

use ch03_forward::{rng, standard_normal};
use ch04_unet::{BlockHook, Preset, UNet};
use dfdx::prelude::*;
use ops::layers::{Conv2d, Parameters};
use ops::{AutoDevice, Conv2dOptions, Images};

use super::answers;

#[test]
fn conv_parameters() {
    let device: AutoDevice = ops::open_device(0).unwrap();
    for (cin, cout, kernel) in [(3, 32, 3), (64, 64, 1), (1, 1, 5)] {
        let mut conv = Conv2d::new(
            &device,
            &mut rng(0, 0),
            cin,
            cout,
            kernel,
            Conv2dOptions::padded(0),
        );
        assert_eq!(
            answers::conv_parameters(cin, cout, kernel),
            ops::params::count(&mut conv)
        );
    }
}

#[test]
fn similarity() {
    assert!((answers::similarity(17, 17, 32) - 1.0).abs() < 1e-5);
    assert!(
        (answers::similarity(100, 130, 32) - answers::similarity(500, 530, 32)).abs()
            < 1e-4,
        "only the distance matters"
    );
    assert!(answers::similarity(100, 101, 32) > answers::similarity(100, 120, 32));
    assert!(answers::similarity(100, 120, 32) > answers::similarity(100, 900, 32));
}

/// The input channels of the first convolution of every block on the way up.
fn inputs(unet: &mut UNet<AutoDevice>) -> Vec<usize> {
    let parameters = unet.parameters().into_iter();
    parameters
        .filter(|p| p.name.starts_with("up_blocks") && p.name.ends_with("conv1.weight"))
        .map(|p| p.shape()[1])
        .collect()
}

#[test]
fn skips() {
    let device: AutoDevice = ops::open_device(0).unwrap();
    for config in [
        Preset::Cats.config([3, 16, 16]),
        Preset::Mnist.config([1, 28, 28]),
        Preset::Tiny.config([1, 8, 8]),
    ] {
        let mut unet = UNet::new(&device, &config, &mut rng(0, 0)).unwrap();
        let inputs = inputs(&mut unet);
        // A block takes in the output of the block before it, and a skip; the skip built last is
        // taken first.
        let mut before = *config.block_out_channels.last().unwrap();
        let mut found = answers::skips(&config);
        assert_eq!(found.len(), inputs.len(), "as many skips as blocks on the way up");
        for (block, input) in inputs.iter().enumerate() {
            assert_eq!(
                found.pop(),
                Some(input - before),
                "block {block} on the way up"
            );
            let level = block / (config.layers_per_block + 1);
            before =
                config.block_out_channels[config.block_out_channels.len() - 1 - level];
        }
    }
}

/// Silences every skip to the last stage.
struct Silent;

impl BlockHook<AutoDevice, NoneTape> for Silent {
    fn skip(
        &mut self,
        stage: &str,
        _block: usize,
        x: Images<AutoDevice>,
    ) -> Images<AutoDevice> {
        if stage == "up_blocks.1" {
            x.device().zeros_like(x.shape())
        } else {
            x
        }
    }
}

#[test]
fn without_skips() {
    let device: AutoDevice = ops::open_device(0).unwrap();
    let config = Preset::Tiny.config([1, 8, 8]);
    let unet = UNet::new(&device, &config, &mut rng(1, 0)).unwrap();
    let x_t = standard_normal(&device, (2, 1, 8, 8), &mut rng(1, 1));
    let answer = |stage: &str| answers::without_skips(&unet, &x_t, 5, stage).as_vec();
    let whole = unet.forward(x_t.clone(), &[5, 5]).as_vec();
    assert_eq!(answer("no such stage"), whole, "nothing was to be cut");
    let silent = unet.forward_with(x_t.clone(), &[5, 5], &mut Silent).as_vec();
    assert_ne!(silent, whole, "these skips carry something");
    assert_eq!(answer("up_blocks.1"), silent);
}
