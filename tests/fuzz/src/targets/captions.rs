//! `captions.csv` in a folder of pictures.

use std::path::Path;

use ch01_tensors::{Folder, FolderOptions, Split};
use image::RgbImage;

use super::{of_file, repair, Run, Target};

pub const TARGETS: &[Target] = &[Target {
    name: "captions",
    words: &[
        b"file", b"caption", b"a.png", b"b/c.png", b"B/C.PNG", b"./", b"\\", b"/", b"\"\"",
        b"\xff", b";",
    ],
    repair: repair::nothing,
    seeds,
    open,
}];

fn seeds() -> Vec<Vec<u8>> {
    let tables = [
        "file,caption\na.png,a red one\nb/c.png,\"a blue one, large\"\n",
        "\u{feff}Caption,more,FILE\r\nred,,.\\A.PNG\r\n\
        \"two\nlines\",1,./b//c.png\r\nnone,2,d.png\r\n",
    ];
    tables.map(|table| table.as_bytes().to_vec()).into()
}

fn open(folder: &Path) -> Run {
    let folder = folder.to_path_buf();
    std::fs::create_dir_all(folder.join("b")).expect("the folder for inputs can be written");
    for name in ["a.png", "b/c.png"] {
        RgbImage::new(4, 4).save(folder.join(name)).expect("the folder for inputs can be written");
    }
    let options = FolderOptions { size: 4, ..FolderOptions::default() };
    of_file(folder.join("captions.csv"), move || Folder::open(&folder, Split::Train, options))
}
