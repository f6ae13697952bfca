//! How threads share an image when there are more threads than images.

use std::ops::Range;

use super::tiling::{Grid, TILE};
use crate::cpu::tiles::{ROWS, SLACK};
use crate::shapes::ConvShape;

/// The part of an image that one thread computes.
pub(super) struct Share {
    /// Rows of tiles.
    pub rows: Range<usize>,
    /// Output channels.
    pub channels: Range<usize>,
}

impl Share {
    /// Cuts `0..len` into `count` pieces; the length of each but the last is a multiple of `step`.
    fn pieces(len: usize, count: usize, step: usize) -> impl Iterator<Item = Range<usize>> {
        let piece = len.div_ceil(count).next_multiple_of(step);
        (0..len).step_by(piece).map(move |first| first..len.min(first + piece))
    }

    /// Cuts an image into `count` shares: either by rows, where every thread transforms the whole
    /// weight for itself (unless that has already been done), or by channels, where every thread
    /// transforms the whole image for itself; whichever is less work for the thread that has the
    /// most to do. (The threads could share what they transform, but waiting for each other, and
    /// fetching numbers from each other's caches, would take longer.)
    pub fn all(s: &ConvShape, count: usize, transformed: bool) -> Vec<Self> {
        let grid = Grid::new(s.ho, s.wo);
        let rows = Self::pieces(grid.rows, count, 1).map(|rows| Self { rows, channels: 0..s.cout });
        let channels = Self::pieces(s.cout, count, SLACK)
            .map(|channels| Self { rows: 0..grid.rows, channels });
        let (rows, channels): (Vec<_>, Vec<_>) = (rows.collect(), channels.collect());
        // The first share is the largest.
        if rows[0].work(s, grid, transformed) <= channels[0].work(s, grid, transformed) {
            rows
        } else {
            channels
        }
    }

    /// Roughly how long a share takes: its multiplications, plus the cost of the transforms of
    /// input, result and weight.
    fn work(&self, s: &ConvShape, grid: Grid, transformed: bool) -> usize {
        let (tiles, cin, cout) = (self.rows.len() * grid.columns, s.cin, self.channels.len());
        let multiplications = tiles.next_multiple_of(ROWS) * cin * cout;
        3 * multiplications / 2
            + tiles * (9 * cin + 8 * cout)
            + if transformed { 0 } else { 6 * cin * cout }
    }

    /// Its pixels in each channel.
    pub fn pixels(&self, s: &ConvShape) -> Range<usize> {
        self.rows.start * TILE * s.wo..(self.rows.end * TILE).min(s.ho) * s.wo
    }
}
