//! What the network is told.

// ANCHOR: condition
/// What the network is told about an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nothing: draw what you like.
    Nothing,
    /// Its class.
    Label(usize),
    /// The words of its prompt, as numbers.
    Words(Vec<usize>),
}
// ANCHOR_END: condition
