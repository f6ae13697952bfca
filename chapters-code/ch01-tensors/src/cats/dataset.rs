//! The cats as a data set.

use super::{Attributes, Fur};
use crate::{cats, Dataset, Split};

/// The built-in data set: pixel-art cats, drawn when asked for.
#[derive(Clone, Debug)]
pub struct Cats {
    seed: u64,
    len: usize,
}

impl Cats {
    /// Two hundred thousand cats to learn from, or ten thousand held-out ones. More can be drawn:
    /// see [`cats::nth`].
    pub fn new(split: Split) -> Self {
        match split {
            Split::Train => Self { seed: 0, len: 200_000 },
            Split::HeldOut => Self { seed: 1, len: 10_000 },
        }
    }
}

impl Dataset for Cats {
    fn name(&self) -> &str {
        "cats"
    }
    fn len(&self) -> usize {
        self.len
    }
    fn shape(&self) -> [usize; 3] {
        [3, cats::SIZE, cats::SIZE]
    }
    fn image(&self, index: usize) -> Vec<f32> {
        let (attributes, pose) = cats::nth(self.seed, index as u64);
        cats::draw(&attributes, &pose)
    }
    fn label(&self, index: usize) -> usize {
        let (attributes, _) = cats::nth(self.seed, index as u64);
        Fur::ALL
            .iter()
            .position(|&fur| fur == attributes.fur)
            .expect("ALL holds every fur")
    }
    fn classes(&self) -> Vec<String> {
        Fur::ALL.iter().map(|fur| fur.word().to_string()).collect()
    }
    fn caption(&self, index: usize) -> String {
        cats::nth(self.seed, index as u64).0.caption()
    }
    fn attributes(&self, index: usize) -> Option<Attributes> {
        Some(cats::nth(self.seed, index as u64).0)
    }
    fn may_flip(&self) -> bool {
        false // there are always more cats
    }
}
