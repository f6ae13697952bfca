//! What can be said about the cats, in how many ways, and which cats the network never sees.

use ch01_tensors::cats::{
    with_article, Attributes, Background, Ears, Eyes, Fur, Pattern,
};
use ch01_tensors::Dataset;
use rand::seq::SliceRandom;
use rand::Rng;

use crate::words::words;

// ANCHOR: asked
/// What a prompt says about a cat; `None` where it is silent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub fur: Option<Fur>,
    pub pattern: Option<Pattern>,
    pub eyes: Option<Eyes>,
    pub ears: Option<Ears>,
    pub background: Option<Background>,
}

/// The nouns that have colours.
const NOUNS: [&str; 3] = ["cat", "eyes", "background"];

impl Asked {
    /// Reads a prompt. A colour belongs to the noun that follows it, or to the fur if
    /// none does.
    pub fn read(prompt: &str) -> Self {
        let said = words(prompt);
        let mut asked = Self::default();
        for (at, word) in said.iter().enumerate() {
            asked.pattern = asked.pattern.or(Pattern::named(word));
            asked.ears = asked.ears.or(Ears::named(word));
            let noun = said[at..].iter().find(|word| NOUNS.contains(&word.as_str()));
            match noun.map(String::as_str) {
                Some("eyes") => asked.eyes = asked.eyes.or(Eyes::named(word)),
                Some("background") => {
                    asked.background = asked.background.or(Background::named(word));
                }
                _ => asked.fur = asked.fur.or(Fur::named(word)),
            }
        }
        asked
    }

    /// Everything about this cat.
    pub fn all(cat: &Attributes) -> Self {
        Self {
            fur: Some(cat.fur),
            pattern: Some(cat.pattern),
            eyes: Some(cat.eyes),
            ears: Some(cat.ears),
            background: Some(cat.background),
        }
    }

    /// For fur, pattern, eyes, ears and background: whether each is right, if it was
    /// asked for.
    pub fn right(&self, cat: &Attributes) -> [Option<bool>; 5] {
        [
            self.fur.map(|v| v == cat.fur),
            self.pattern.map(|v| v == cat.pattern),
            self.eyes.map(|v| v == cat.eyes),
            self.ears.map(|v| v == cat.ears),
            self.background.map(|v| v == cat.background),
        ]
    }
}
// ANCHOR_END: asked

impl Asked {
    /// Whether a cat has everything that was asked for.
    pub fn is_right(&self, cat: &Attributes) -> bool {
        self.right(cat).iter().all(|right| *right != Some(false))
    }

    /// The cat, if the prompt says everything about it.
    pub fn complete(&self) -> Option<Attributes> {
        let Self { fur, pattern, eyes, ears, background } = *self;
        Some(Attributes {
            fur: fur?,
            pattern: pattern?,
            eyes: eyes?,
            ears: ears?,
            background: background?,
        })
    }
}

// ANCHOR: phrase
/// Puts `asked` into words, in random order: "an orange striped cat on a pink
/// background with green eyes and ears up".
pub fn phrase(asked: &Asked, rng: &mut impl Rng) -> String {
    let mut adjectives: Vec<&str> = Vec::new();
    adjectives.extend(asked.fur.map(Fur::word));
    adjectives.extend(asked.pattern.map(Pattern::word));
    adjectives.shuffle(rng);
    let mut sentence = with_article(&[&adjectives[..], &["cat"]].concat().join(" "));

    let mut additions: Vec<String> = Vec::new();
    additions.extend(asked.eyes.map(|eyes| format!("{} eyes", eyes.word())));
    additions.extend(asked.ears.map(|ears| match ears {
        Ears::Up => "ears up".to_string(),
        Ears::Folded => "folded ears".to_string(),
    }));
    additions.extend(asked.background.map(|background| {
        format!("on {} background", with_article(background.word()))
    }));
    additions.shuffle(rng);
    let mut link = "with";
    for addition in additions {
        if addition.starts_with("on ") {
            sentence = format!("{sentence} {addition}");
            link = "with";
        } else {
            sentence = format!("{sentence} {link} {addition}");
            link = "and";
        }
    }
    sentence
}

/// Leaves things out: half of the time nothing, otherwise each attribute with a chance
/// of one half.
pub fn forget(asked: Asked, rng: &mut impl Rng) -> Asked {
    if rng.gen() {
        return asked;
    }
    Asked {
        fur: asked.fur.filter(|_| rng.gen()),
        pattern: asked.pattern.filter(|_| rng.gen()),
        eyes: asked.eyes.filter(|_| rng.gen()),
        ears: asked.ears.filter(|_| rng.gen()),
        background: asked.background.filter(|_| rng.gen()),
    }
}
// ANCHOR_END: phrase

/// All words that [`phrase`] uses.
pub fn vocabulary() -> Vec<&'static str> {
    let mut all =
        vec!["a", "an", "cat", "with", "and", "eyes", "ears", "on", "background"];
    all.extend(Fur::ALL.iter().map(|v| v.word()));
    all.extend(Pattern::ALL.iter().map(|v| v.word()));
    all.extend(Eyes::ALL.iter().map(|v| v.word()));
    all.extend(Ears::ALL.iter().map(|v| v.word()));
    all.extend(Background::ALL.iter().map(|v| v.word()));
    all.sort_unstable();
    all.dedup(); // fur, eyes and background share colours
    all
}

// ANCHOR: unseen
/// Pairs that are left out of training. Each half of a pair is seen, but never the two
/// together. Where a pair of two colours is left out, so is the pair with the two
/// colours swapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unseen {
    OrangeWithBlueEyes,
    BlueWithOrangeEyes,
    OrangeOnGreen,
    GreenOnOrange,
    GreyPatched,
    WhiteFolded,
}

impl Unseen {
    /// The pairs that this cat has.
    pub fn of(cat: &Asked) -> Vec<Self> {
        Self::ALL.into_iter().filter(|pair| pair.is_of(cat)).collect()
    }

    fn is_of(self, cat: &Asked) -> bool {
        use Background as On;
        match self {
            Self::OrangeWithBlueEyes => cat.has(Fur::Orange, cat.eyes, Eyes::Blue),
            Self::BlueWithOrangeEyes => cat.has(Fur::Blue, cat.eyes, Eyes::Orange),
            Self::OrangeOnGreen => cat.has(Fur::Orange, cat.background, On::Green),
            Self::GreenOnOrange => cat.has(Fur::Green, cat.background, On::Orange),
            Self::GreyPatched => cat.has(Fur::Grey, cat.pattern, Pattern::Patched),
            Self::WhiteFolded => cat.has(Fur::White, cat.ears, Ears::Folded),
        }
    }
}
// ANCHOR_END: unseen

impl Asked {
    /// Whether the prompt would describe a different cat if two of its colours were swapped. A
    /// network that does not see which words belong together cannot get such a prompt right.
    pub fn is_swappable(&self) -> bool {
        let eyes = self.eyes.map(Eyes::word);
        let background = self.background.map(Background::word);
        let fur = self.fur.map(Fur::word);
        let differ = |a: Option<&'static str>, b: Option<&'static str>| {
            let (Some(a), Some(b)) = (a, b) else { return false };
            a != b && Eyes::named(a).is_some() && Eyes::named(b).is_some()
        };
        differ(fur, eyes) || differ(fur, background) || differ(eyes, background)
    }

    fn has<T: PartialEq>(&self, fur: Fur, other: Option<T>, value: T) -> bool {
        self.fur == Some(fur) && other == Some(value)
    }
}

impl Unseen {
    /// Every pair.
    pub const ALL: [Self; 6] = [
        Self::OrangeWithBlueEyes,
        Self::BlueWithOrangeEyes,
        Self::OrangeOnGreen,
        Self::GreenOnOrange,
        Self::GreyPatched,
        Self::WhiteFolded,
    ];

    /// The pair in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::OrangeWithBlueEyes => "orange with blue eyes",
            Self::BlueWithOrangeEyes => "blue with orange eyes",
            Self::OrangeOnGreen => "orange on green",
            Self::GreenOnOrange => "green on orange",
            Self::GreyPatched => "grey and patched",
            Self::WhiteFolded => "white with folded ears",
        }
    }
}

/// A data set of cats without those that have an [`Unseen`] pair.
pub struct SeenCats {
    cats: Box<dyn Dataset>,
    seen: Vec<usize>,
}

impl SeenCats {
    /// What remains of `cats`.
    ///
    /// # Panics
    /// If an image is not a cat, that is, if it has no attributes.
    pub fn new(cats: Box<dyn Dataset>) -> Self {
        let seen = (0..cats.len())
            .filter(|&i| {
                let cat = cats.attributes(i).expect("every image is a cat");
                Unseen::of(&Asked::all(&cat)).is_empty()
            })
            .collect();
        Self { cats, seen }
    }
}

impl Dataset for SeenCats {
    fn name(&self) -> &str {
        self.cats.name()
    }
    fn len(&self) -> usize {
        self.seen.len()
    }
    fn shape(&self) -> [usize; 3] {
        self.cats.shape()
    }
    fn image(&self, index: usize) -> Vec<f32> {
        self.cats.image(self.seen[index])
    }
    fn label(&self, index: usize) -> usize {
        self.cats.label(self.seen[index])
    }
    fn classes(&self) -> Vec<String> {
        self.cats.classes()
    }
    fn caption(&self, index: usize) -> String {
        self.cats.caption(self.seen[index])
    }
    fn attributes(&self, index: usize) -> Option<Attributes> {
        self.cats.attributes(self.seen[index])
    }
    fn may_flip(&self) -> bool {
        self.cats.may_flip()
    }
    fn notes(&self) -> Vec<String> {
        self.cats.notes()
    }
}
