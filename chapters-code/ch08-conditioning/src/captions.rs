//! What can be said about the cats, in how many ways, and which of them the network
//! never sees.

use ch01_tensors::cats::{Attributes, Background, Ears, Eyes, Fur, Pattern};
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

impl Asked {
    /// Reads a prompt: every attribute has words of its own.
    pub fn read(prompt: &str) -> Self {
        let said = words(prompt);
        let is_said = |word: &str| said.iter().any(|w| w == word);
        Self {
            fur: Fur::ALL.iter().copied().find(|v| is_said(v.word())),
            pattern: Pattern::ALL.iter().copied().find(|v| is_said(v.word())),
            eyes: Eyes::ALL.iter().copied().find(|v| is_said(v.word())),
            ears: Ears::ALL.iter().copied().find(|v| is_said(v.word())),
            background: Background::ALL.iter().copied().find(|v| is_said(v.word())),
        }
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

    /// The same about each attribute: whether it is right, if it was asked for. Fur,
    /// pattern, eyes, ears, background.
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
    /// Whether a cat is all that was asked for.
    pub fn is_right(&self, cat: &Attributes) -> bool {
        self.right(cat).iter().all(|right| *right != Some(false))
    }

    /// The cat, if everything about it was said.
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
/// Says it in words, in random order: "an orange striped cat on a pink background with
/// green eyes and ears up".
pub fn phrase(asked: &Asked, rng: &mut impl Rng) -> String {
    let mut adjectives: Vec<&str> = Vec::new();
    adjectives.extend(asked.fur.map(Fur::word));
    adjectives.extend(asked.pattern.map(Pattern::word));
    adjectives.shuffle(rng);
    let article =
        if adjectives.first() == Some(&Fur::Orange.word()) { "an" } else { "a" };
    let mut sentence = [&[article], &adjectives[..], &["cat"]].concat().join(" ");

    let mut additions: Vec<String> = Vec::new();
    additions.extend(asked.eyes.map(|eyes| format!("{} eyes", eyes.word())));
    additions.extend(asked.ears.map(|ears| match ears {
        Ears::Up => "ears up".to_string(),
        Ears::Folded => "folded ears".to_string(),
    }));
    additions.extend(
        asked
            .background
            .map(|background| format!("on a {} background", background.word())),
    );
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

/// Leaves things out: half of the time nothing, else each attribute with even chances.
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
    all
}

// ANCHOR: unseen
/// Pairs of words that are left out of training, one for every attribute. Each of the
/// words is seen, but never the two together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unseen {
    BrownPatched,
    BlackBlue,
    WhiteFolded,
    OrangePink,
}

impl Unseen {
    /// The pair that this cat has, if it has one.
    pub fn of(cat: &Asked) -> Option<Self> {
        let (pair, is_there) = match cat.fur? {
            Fur::Brown => (Self::BrownPatched, cat.pattern == Some(Pattern::Patched)),
            Fur::Black => (Self::BlackBlue, cat.eyes == Some(Eyes::Blue)),
            Fur::White => (Self::WhiteFolded, cat.ears == Some(Ears::Folded)),
            Fur::Orange => (Self::OrangePink, cat.background == Some(Background::Pink)),
            Fur::Grey => return None,
        };
        is_there.then_some(pair)
    }
}
// ANCHOR_END: unseen

impl Unseen {
    /// Every pair.
    pub const ALL: [Self; 4] =
        [Self::BrownPatched, Self::BlackBlue, Self::WhiteFolded, Self::OrangePink];

    /// The two words.
    pub fn words(self) -> &'static str {
        match self {
            Self::BrownPatched => "brown and patched",
            Self::BlackBlue => "black with blue eyes",
            Self::WhiteFolded => "white with folded ears",
            Self::OrangePink => "orange on pink",
        }
    }
}

/// A data set of cats without those that are left out.
pub struct SeenCats {
    cats: Box<dyn Dataset>,
    seen: Vec<usize>,
}

impl SeenCats {
    /// What remains of `cats`.
    ///
    /// # Panics
    /// If an image is no cat: if it has no attributes.
    pub fn new(cats: Box<dyn Dataset>) -> Self {
        let seen = (0..cats.len())
            .filter(|&i| {
                let cat = cats.attributes(i).expect("every image is a cat");
                Unseen::of(&Asked::all(&cat)).is_none()
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
