//! What a convolution adds its products to.

use crate::shapes::{Added, ConvShape, Store};

/// What is there before the products are added.
#[derive(Clone, Copy)]
pub(super) enum Base<'a> {
    /// The result's own numbers.
    Itself,
    Added(Added<&'a [f32]>),
}

impl From<Store> for Base<'_> {
    fn from(store: Store) -> Self {
        match store {
            Store::Overwrite => Base::Added(Added { bias: None, channels: None, images: None }),
            Store::Add => Base::Itself,
        }
    }
}

impl Base<'_> {
    /// For one output channel of one image: one number for all pixels and, if there are images to
    /// add, one for each pixel.
    pub(super) fn plane(&self, s: &ConvShape, n: usize, o: usize) -> (f32, Option<&[f32]>) {
        let Base::Added(Added { bias, channels, images }) = self else { return (0.0, None) };
        let (plane, pixels) = (n * s.cout + o, s.pixels());
        let constant = bias.map_or(0.0, |b| b[o]) + channels.map_or(0.0, |c| c[plane]);
        (constant, images.map(|images| &images[plane * pixels..][..pixels]))
    }

    /// Puts the base into some output channels of image number `n`, from channel `first` on.
    pub(super) fn fill(&self, s: &ConvShape, n: usize, first: usize, y: &mut [f32]) {
        let Base::Added(_) = self else { return };
        for (o, plane) in y.chunks_mut(s.pixels()).enumerate() {
            match self.plane(s, n, first + o) {
                (constant, None) => plane.fill(constant),
                (constant, Some(image)) => {
                    plane.iter_mut().zip(image).for_each(|(y, v)| *y = v + constant)
                }
            }
        }
    }
}
