//! How a result is cut into tiles, and how tiles are grouped to be worked on together.

use std::ops::Range;

/// Side of a tile of the result.
pub(super) const TILE: usize = 4;
/// Side of the square of inputs that a tile depends on.
pub(super) const REACH: usize = TILE + 2;
/// Places in a transformed tile.
pub(super) const PLACES: usize = REACH * REACH;
/// How many tiles are worked on together, if there are that many: enough that a transformed filter,
/// once fetched, is used often, and few enough that the tiles stay in a nearby cache.
const BAND_TILES: usize = 32;

/// The tiles of one image.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    pub rows: usize,
    pub columns: usize,
}

/// Tiles worked on together: all tiles of some images, or some rows of tiles of one image.
#[derive(Clone, Copy)]
pub(super) struct Band {
    pub image: usize,
    pub images: usize,
    pub row: usize,
    pub rows: usize,
    pub columns: usize,
}

impl Grid {
    pub fn new(height: usize, width: usize) -> Self {
        Self { rows: height.div_ceil(TILE), columns: width.div_ceil(TILE) }
    }

    /// Cuts `images` images into bands of about `BAND_TILES` tiles and at most `most` images.
    pub fn bands(self, images: usize, most: usize) -> Vec<Band> {
        let together = (BAND_TILES / (self.rows * self.columns)).clamp(1, most);
        let groups = (0..images).step_by(together).map(|image| image..images.min(image + together));
        groups.flat_map(|images| self.cut(images, 0..self.rows)).collect()
    }

    /// Cuts the given rows of tiles in the given images into bands of about `BAND_TILES` tiles.
    pub fn cut(self, images: Range<usize>, rows: Range<usize>) -> impl Iterator<Item = Band> {
        let bands = (images.len() * rows.len() * self.columns).div_ceil(BAND_TILES);
        let band_rows = rows.len().div_ceil(bands);
        rows.clone().step_by(band_rows).map(move |row| Band {
            image: images.start,
            images: images.len(),
            row,
            rows: band_rows.min(rows.end - row),
            columns: self.columns,
        })
    }
}

impl Band {
    pub fn tiles(&self) -> usize {
        self.images * self.rows * self.columns
    }
}
