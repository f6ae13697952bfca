//! Image files.

use ch01_tensors::{read_image, to_byte, Cats, Dataset, Split};

#[test]
fn a_cat_that_was_drawn_large_is_read_as_it_was() {
    let cat = Cats::new(Split::Train).image(17);
    let byte = |x: u32, y: u32, c: u32| to_byte(cat[(c * 256 + y * 16 + x) as usize]);
    let folder = tempfile::tempdir().unwrap();
    for factor in [1, 8] {
        let large = image::RgbImage::from_fn(16 * factor, 16 * factor, |x, y| {
            image::Rgb([0, 1, 2].map(|c| byte(x / factor, y / factor, c)))
        });
        let path = folder.path().join("cat.png");
        large.save(&path).unwrap();
        let read = read_image(&path, [3, 16, 16]).unwrap();
        assert_eq!(read.size, [16 * factor as usize; 2]);
        for (read, drawn) in read.values.iter().zip(&cat) {
            assert_eq!(to_byte(*read), to_byte(*drawn), "{factor} times as large");
        }
    }
}
