//! What follows from the sizes of a convolution.

use crate::shapes::ConvShape;

impl ConvShape {
    /// Kernel positions.
    pub(super) fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// Rows of an unfolded image.
    pub(super) fn depth(&self) -> usize {
        self.cin * self.taps()
    }

    /// Columns of an unfolded image.
    pub(super) fn pixels(&self) -> usize {
        self.ho * self.wo
    }

    /// Whether an image is its own unfolded matrix.
    pub(super) fn is_pointwise(&self) -> bool {
        self.kernel == 1 && self.stride == 1 && (self.ho, self.wo) == (self.h, self.w)
    }

    /// Whether the gradient of the input is a convolution too: the kernel must reach every zero
    /// around the image.
    pub(super) fn is_reversible(&self) -> bool {
        let after_ends = self.ho <= self.h + self.pad && self.wo <= self.w + self.pad;
        self.stride == 1 && self.pad < self.kernel && after_ends
    }

    /// The convolution whose gradient this one is, if this one's result has so few channels that
    /// the exchange pays: output and input swap places, and the kernel is rotated by 180 degrees.
    pub(super) fn narrow(&self) -> Option<Self> {
        (self.is_reversible() && !self.is_pointwise() && 8 * self.cout <= self.cin)
            .then(|| self.reversed())
    }

    /// Swaps output and input; valid only if [`ConvShape::is_reversible`] holds.
    pub(super) fn reversed(&self) -> Self {
        Self {
            cin: self.cout,
            cout: self.cin,
            h: self.ho,
            w: self.wo,
            ho: self.h,
            wo: self.w,
            pad: self.kernel - 1 - self.pad,
            ..*self
        }
    }

    /// Turns a weight `(cout, cin, k, k)` into `(cin, cout, k, k)` with every kernel rotated by 180
    /// degrees, and adds it to what is in `to`.
    pub(super) fn flip(&self, w: &[f32], to: &mut [f32]) {
        let taps = self.taps();
        for (o, w) in w.chunks(self.depth()).enumerate() {
            for (c, w) in w.chunks(taps).enumerate() {
                let to = &mut to[(c * self.cout + o) * taps..][..taps];
                to.iter_mut().rev().zip(w).for_each(|(to, w)| *to += w);
            }
        }
    }
}
