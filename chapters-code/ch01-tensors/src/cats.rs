//! The built-in data set: cat faces of 16×16 pixels, drawn by code, as many as you like.
//!
//! A cat is its [`Attributes`], which its caption names, and its [`Pose`], which makes every cat a
//! little different.

pub(crate) mod dataset;
mod draw;
mod read;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::Purpose;

pub use draw::draw;
pub use read::{attributes_of, read, Reading};

/// Height and width of a cat, in pixels.
pub const SIZE: usize = 16;

// ANCHOR: attribute_macro
/// An attribute: its possible values, and the word for each.
macro_rules! attribute {
    ($(#[$doc:meta])* $name:ident { $($value:ident = $word:literal),+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $(#[doc = $word] $value),+ }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$value),+];

            /// The word for this value in a caption.
            pub fn word(self) -> &'static str {
                match self { $(Self::$value => $word),+ }
            }

            /// The value that this word names.
            pub fn named(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.word() == word)
            }
        }
    };
}
// ANCHOR_END: attribute_macro

// ANCHOR: attributes
attribute!(
    /// The colour of the fur.
    Fur {
        Orange = "orange", Blue = "blue", Green = "green", Grey = "grey",
        White = "white", Black = "black"
    }
);
attribute!(
    /// The markings on the fur.
    Pattern { Solid = "solid", Striped = "striped", Patched = "patched" }
);
attribute!(
    /// The colour of the eyes.
    Eyes { Orange = "orange", Blue = "blue", Green = "green" }
);
attribute!(
    /// How the ears stand.
    Ears { Up = "up", Folded = "folded" }
);
attribute!(
    /// The colour behind the cat.
    Background { Orange = "orange", Blue = "blue", Green = "green", Pink = "pink" }
);
// ANCHOR_END: attributes

// ANCHOR: caption
/// What a caption says about a cat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attributes {
    pub fur: Fur,
    pub pattern: Pattern,
    pub eyes: Eyes,
    pub ears: Ears,
    pub background: Background,
}

impl Attributes {
    /// The cat in words: "a striped orange cat with blue eyes and folded ears on a
    /// pink background". Ears that are up are not mentioned.
    pub fn caption(&self) -> String {
        let ears = match self.ears {
            Ears::Up => "",
            Ears::Folded => " and folded ears",
        };
        let (pattern, fur, eyes) =
            (self.pattern.word(), self.fur.word(), self.eyes.word());
        let background = with_article(self.background.word());
        format!(
            "a {pattern} {fur} cat with {eyes} eyes{ears} on {background} background"
        )
    }
}
// ANCHOR_END: caption

/// "a green", "an orange".
pub fn with_article(word: &str) -> String {
    let article = if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {word}")
}

impl Attributes {
    /// All 432 combinations.
    pub fn all() -> impl Iterator<Item = Attributes> {
        let sizes = [
            Fur::ALL.len(),
            Pattern::ALL.len(),
            Eyes::ALL.len(),
            Ears::ALL.len(),
            Background::ALL.len(),
        ];
        (0..sizes.iter().product()).map(move |mut i: usize| {
            let [fur, pattern, eyes, ears, background] = sizes.map(|size| {
                let value = i % size;
                i /= size;
                value
            });
            Attributes {
                fur: Fur::ALL[fur],
                pattern: Pattern::ALL[pattern],
                eyes: Eyes::ALL[eyes],
                ears: Ears::ALL[ears],
                background: Background::ALL[background],
            }
        })
    }
}

// ANCHOR: pose
/// What makes two cats with the same attributes differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pose {
    /// Shift to the right, in pixels, -1 to 1.
    pub dx: f32,
    /// Shift downwards, in pixels, -1 to 1.
    pub dy: f32,
    /// Size relative to the average, 0.92 to 1.08.
    pub size: f32,
    /// Tilt of the head, clockwise, in radians, -0.14 to 0.14.
    pub tilt: f32,
    /// Brightness of the fur, 0.92 to 1.08.
    pub shade: f32,
}
// ANCHOR_END: pose

impl Pose {
    /// Centred and upright, of average size and brightness.
    pub const MIDDLE: Self =
        Self { dx: 0.0, dy: 0.0, size: 1.0, tilt: 0.0, shade: 1.0 };
}

// ANCHOR: nth
/// Cat number `index` of the endless sequence that `seed` determines. The attributes
/// are drawn uniformly and independently.
pub fn nth(seed: u64, index: u64) -> (Attributes, Pose) {
    let mut rng = Purpose::Cats.rng(seed, index);
    let attributes = Attributes {
        fur: choose(Fur::ALL, &mut rng),
        pattern: choose(Pattern::ALL, &mut rng),
        eyes: choose(Eyes::ALL, &mut rng),
        ears: choose(Ears::ALL, &mut rng),
        background: choose(Background::ALL, &mut rng),
    };
    let pose = Pose {
        dx: rng.gen_range(-1.0..1.0),
        dy: rng.gen_range(-1.0..1.0),
        size: rng.gen_range(0.92..1.08),
        tilt: rng.gen_range(-0.14..0.14),
        shade: rng.gen_range(0.92..1.08),
    };
    (attributes, pose)
}

/// One of `all`, each equally likely. The index is drawn as a `u64`: a `usize` has only
/// 32 bits in a browser, so the same seed would give different cats there.
fn choose<T: Copy>(all: &[T], rng: &mut ChaCha8Rng) -> T {
    all[rng.gen_range(0..all.len() as u64) as usize]
}
// ANCHOR_END: nth
