//! Random numbers, and what they are for.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

// ANCHOR: purpose
/// What random numbers are for. This is the list of all purposes: each has a source of
/// its own, so that the noise of one is never the noise of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A training step: which images are mirrored, the timesteps, the noise, and what
    /// the prompts leave out. The index is the step; the first weights have the index
    /// [`FIRST_WEIGHTS`].
    Training,
    /// The order of the training images. The index is the epoch, that is, how many
    /// times all of them have been seen.
    Order,
    /// Timesteps and noise (index 0) and prompts (index 1) of the held-out loss.
    HeldOut,
    /// The noise for drawing an image. The index is the image.
    Sampling,
    /// The attributes and the pose of a cat. The index is the cat.
    Cats,
    /// The prompts of the pictures that are drawn during training.
    Preview,
    /// The prompts of an evaluation, and its choice of real images for comparison.
    Evaluation,
    /// The classifier: its first weights, and the shifts of the images at each step.
    Classifier,
    /// Anything else: examples, tests, and what you try out.
    Other,
}
// ANCHOR_END: purpose

/// The index of [`Purpose::Training`] and [`Purpose::Classifier`] for the first
/// weights.
pub const FIRST_WEIGHTS: u64 = u64::MAX;

/// Added to the seed for the order of the images. This gives the order the same key as the training
/// steps of another seed, but that seed is so large that nobody counts up to it; the shipped digits
/// were trained this way.
const ORDER: u64 = 0x0D0E_0A17;

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 9] = [
        Self::Training,
        Self::Order,
        Self::HeldOut,
        Self::Sampling,
        Self::Cats,
        Self::Preview,
        Self::Evaluation,
        Self::Classifier,
        Self::Other,
    ];

    // ANCHOR: rng
    /// The source of random numbers determined by a purpose, a seed and an index: the
    /// same on every machine, and independent of every other source.
    ///
    /// ChaCha is a cipher. Seed and purpose make up its key, the index is its nonce,
    /// and a cipher's outputs under two keys or two nonces have nothing in common.
    pub fn rng(self, seed: u64, index: u64) -> ChaCha8Rng {
        let (seed, mark) = match self {
            Self::Order => (seed.wrapping_add(ORDER), 0),
            purpose => (seed, purpose as u8),
        };
        let mut key = ChaCha8Rng::seed_from_u64(seed).get_seed();
        key[0] ^= mark;
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(index);
        rng
    }
    // ANCHOR_END: rng
}
