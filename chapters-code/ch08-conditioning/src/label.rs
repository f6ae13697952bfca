//! A class as something to tell the network.

use dfdx::prelude::*;
use ops::layers::Linear;
use ops::{Rows, UNetDevice};
use rand::Rng;

// ANCHOR: one_hot
/// A row for each of `ids`: 1 at the position given by the id, 0 elsewhere; all 0 for
/// `None`. Shape `(ids, width)`.
///
/// # Panics
/// If an id is not below `width`.
pub fn one_hot<D: UNetDevice>(
    device: &D,
    ids: &[Option<usize>],
    width: usize,
) -> Rows<D> {
    let mut values = vec![0.0; ids.len() * width];
    for (row, id) in values.chunks_mut(width).zip(ids) {
        if let Some(id) = *id {
            assert!(id < width, "{id} is not below {width}");
            row[id] = 1.0;
        }
    }
    ops::tensor(device, values, (ids.len(), width))
}
// ANCHOR_END: one_hot

// ANCHOR: label_embedding
/// A vector for each class, as wide as the time embedding, to which it is added.
/// If there is no class, the zero vector is added: the network hears nothing but the
/// time.
#[derive(Clone, Debug)]
pub struct LabelEmbedding<D: UNetDevice> {
    /// A one-hot row times the table is one of the table's rows (in memory the table is
    /// stored transposed, so the row is a column there).
    table: Linear<D>,
    classes: usize,
}

impl<D: UNetDevice> LabelEmbedding<D> {
    /// Random vectors.
    pub fn new(
        device: &D,
        rng: &mut impl Rng,
        classes: usize,
        time_width: usize,
    ) -> Self {
        Self { table: Linear::without_bias(device, rng, classes, time_width), classes }
    }

    /// The vectors of these classes, `(labels, time_width)`.
    pub fn forward<T: Tape<f32, D>>(&self, labels: &[Option<usize>]) -> Rows<D, T> {
        let ids = one_hot(self.table.weight.device(), labels, self.classes);
        self.table.forward(ids.put_tape(T::default()))
    }
}
// ANCHOR_END: label_embedding

ops::parameters!(LabelEmbedding { table as "class_embedding" });
