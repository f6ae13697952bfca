//! From a prompt to numbers: one for each word.

use serde::{Deserialize, Serialize};

/// A prompt that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PromptError {
    #[error(
        "the model does not know the word '{word}'{} It knows: {known}",
        guess(nearest)
    )]
    UnknownWord { word: String, nearest: Option<String>, known: String },
    #[error(
        "the prompt '{0}' has no words: describe the picture, or leave the prompt out"
    )]
    Empty(String),
    #[error("the prompt has {found} words, but the model reads at most {most}")]
    TooLong { found: usize, most: usize },
    #[error(
        "the model does not read prompts: name one of its {num_classes} classes with \
        --label (from 0)"
    )]
    Unread { num_classes: usize },
}

fn guess(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map_or(".".into(), |nearest| format!("; did you mean '{nearest}'?"))
}

// ANCHOR: tokenizer
/// The words that a model knows. A word's number is its position in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tokenizer {
    words: Vec<String>,
}

/// The words of a text, in lower case and without punctuation.
pub fn words(text: &str) -> Vec<String> {
    let inner = |c: char| c.is_alphanumeric() || c == '-' || c == '\'';
    text.split(|c| !inner(c)).filter(|w| !w.is_empty()).map(str::to_lowercase).collect()
}

impl Tokenizer {
    /// A tokenizer that lists the words of these texts in alphabetical order.
    pub fn new<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Self {
        let all: std::collections::BTreeSet<String> =
            texts.into_iter().flat_map(|text| words(text.as_ref())).collect();
        Self { words: all.into_iter().collect() }
    }
}
// ANCHOR_END: tokenizer

impl Tokenizer {
    // ANCHOR: encode
    /// The words of a prompt, as numbers.
    ///
    /// # Errors
    /// If a word is unknown, or if there are more than `most` words.
    pub fn encode(&self, prompt: &str, most: usize) -> Result<Vec<usize>, PromptError> {
        let words = words(prompt);
        if words.len() > most {
            return Err(PromptError::TooLong { found: words.len(), most });
        }
        words.into_iter().map(|word| self.number(word)).collect()
    }

    fn number(&self, word: String) -> Result<usize, PromptError> {
        self.words.iter().position(|known| *known == word).ok_or_else(|| {
            // A word of which more than half would have to be changed is not what was
            // meant.
            let near = self
                .words
                .iter()
                .filter(|known| edits(known, &word) <= word.chars().count() / 2);
            let nearest = near.min_by_key(|known| edits(known, &word)).cloned();
            PromptError::UnknownWord { word, nearest, known: self.words.join(", ") }
        })
    }
    // ANCHOR_END: encode

    /// The known words of a text, as numbers; at most `most` of them. In a prompt, an unknown word
    /// is an error; in the caption of a held-out image, it is skipped.
    pub fn known(&self, text: &str, most: usize) -> Vec<usize> {
        words(text)
            .into_iter()
            .filter_map(|word| self.number(word).ok())
            .take(most)
            .collect()
    }

    /// A word that occurs twice or is empty, if there is one.
    pub(crate) fn bad_word(&self) -> Option<&str> {
        let mut seen = std::collections::BTreeSet::from([""]);
        self.words.iter().map(String::as_str).find(|word| !seen.insert(word))
    }

    /// How many words it knows.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }
}

/// How many letters must be inserted, deleted or replaced to turn one word into the
/// other (Levenshtein 1966).
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    // Distances from the letters of `a` seen so far to every prefix of `b`.
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, other) in b.iter().enumerate() {
            let replaced = diagonal + (letter != *other) as usize;
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (a, b, count) in [
            ("", "", 0),
            ("cat", "cat", 0),
            ("cat", "", 3),
            ("kitten", "sitting", 3),
            ("grey", "gray", 1),
        ] {
            assert_eq!((edits(a, b), edits(b, a)), (count, count), "{a} {b}");
        }
    }

    #[test]
    fn words_have_numbers() {
        let tokenizer = Tokenizer::new(["a grey cat", "a Black cat!"]);
        assert_eq!(tokenizer.len(), 4);
        assert_eq!(tokenizer.encode("  cat, grey. ", 2), Ok(vec![2, 3]));
        assert_eq!(tokenizer.encode("", 2), Ok(vec![]));
        assert_eq!(tokenizer.known("a gray cat and a grey cat", 3), [0, 2, 0]);
        assert_eq!(
            tokenizer.encode("a a a", 2),
            Err(PromptError::TooLong { found: 3, most: 2 })
        );
        let error = tokenizer.encode("a gray cat", 9).unwrap_err().to_string();
        assert!(error.contains("'gray'; did you mean 'grey'?"), "{error}");
        let error = tokenizer.encode("a happy cat", 9).unwrap_err().to_string();
        assert_eq!(
            error,
            "the model does not know the word 'happy'. It knows: a, black, cat, grey"
        );
    }
}
