//! What the network is told.

// ANCHOR: condition
/// What the network is told about an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nothing: draw what you like.
    Nothing,
    /// Its class.
    Label(usize),
    /// The numbers of the words of its prompt.
    Words(Vec<usize>),
}
// ANCHOR_END: condition
