//! The programs, run on folders of pictures like those that people have.

use std::path::Path;

use book_tests::programs::{fail, succeed};
use image::{Rgba, RgbaImage};

/// A picture whose left half is of one colour and whose right half is of another.
fn halves(folder: &Path, name: &str, left: [u8; 4], right: [u8; 4]) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let image = RgbaImage::from_fn(16, 16, |x, _| Rgba(if x < 8 { left } else { right }));
    image.save_with_format(path, image::ImageFormat::Png).unwrap();
}

const RED: [u8; 4] = [200, 0, 0, 255];
const NOTHING: [u8; 4] = [255, 255, 255, 0];

#[test]
fn a_folder_is_shown_with_what_was_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    halves(folder, "pictures/cat/photo.jpg", RED, NOTHING);
    std::fs::write(folder.join("pictures/.DS_Store"), "").unwrap();
    let show = [
        "--dataset",
        "folder",
        "--data-dir",
        "pictures",
        "--count",
        "1",
        "--scale",
        "1",
        "--image-size",
        "16",
    ];
    let on = |more: &[&str]| {
        let said = succeed("ch01-tensors", folder, &[&show, more].concat());
        assert!(said.contains("pictures: skipped 1 hidden one (.DS_Store)"), "{said}");
        let drawn = image::open(folder.join("dataset.png")).unwrap().to_rgb8();
        (said, drawn.get_pixel(drawn.width() - 5, 8).0)
    };
    assert_eq!(on(&[]).1, [255; 3]);
    assert_eq!(on(&["--background", "#204060"]).1, [0x20, 0x40, 0x60]);
    assert!(on(&["--image-channels", "1"]).0.contains("1x16x16"));
}

#[test]
fn flags_that_do_nothing_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let bad =
        |args: &[&str], code: i32, words: &[&str]| fail("ch01-tensors", folder, args, code, words);
    bad(&["--data-dir", "."], 1, &["--data-dir", "'cats'"]);
    bad(
        &["--dataset", "mnist", "--data-dir", ".", "--image-size", "32"],
        1,
        &["--image-size", "'mnist'"],
    );
    bad(
        &["--dataset", "folder", "--data-dir", ".", "--image-channels", "2"],
        2,
        &["--image-channels", "1 (grey)"],
    );
    bad(
        &["--dataset", "folder", "--data-dir", ".", "--background", "plaid"],
        2,
        &["--background", "#204060"],
    );
}

#[test]
fn resuming_reads_the_pictures_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for i in 0..10 {
        halves(folder, &format!("pictures/{i}.png"), [i, 0, 0, 255], NOTHING);
    }
    let begin = [
        "--dataset",
        "folder",
        "--data-dir",
        "pictures",
        "--image-size",
        "8",
        "--image-channels",
        "1",
    ];
    let few = [
        "--background",
        "black",
        "--preset",
        "tiny",
        "--steps",
        "1",
        "--batch-size",
        "2",
        "--samples",
        "1",
    ];
    succeed("ch05-train", folder, &[&begin[..], &few, &["--out", "run"]].concat());
    let stored = std::fs::read_to_string(folder.join("run/training/data.json")).unwrap();
    assert!(
        stored.contains("\"background\": \"#000000\"") && stored.contains("\"image_channels\": 1"),
        "{stored}"
    );
    succeed("ch05-train", folder, &["--resume", "--out", "run", "--steps", "2", "--samples", "1"]);
    fail(
        "ch05-train",
        folder,
        &["--resume", "--out", "run", "--background", "white"],
        2,
        &["--background"],
    );
}

#[test]
fn a_mask_means_what_it_shows() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    halves(folder, "image.png", RED, [0, 0, 200, 255]);
    halves(folder, "black.png", [255; 4], [0, 0, 0, 255]);
    halves(folder, "hole.png", [255; 4], NOTHING);
    halves(folder, "nothing.png", [0, 0, 0, 255], NOTHING);
    let inpaint = |mask: &'static str| {
        let few = ["--count", "1", "--steps", "2", "--resamplings", "1", "--out", "out.png"];
        [&["inpaint", "--image", "image.png", "--mask", mask][..], &few].concat()
    };
    let [black, hole] = ["black.png", "hole.png"].map(|mask| {
        succeed("ch08-conditioning", folder, &inpaint(mask));
        std::fs::read(folder.join("out.png")).unwrap()
    });
    assert!(black == hole, "where a mask is transparent, the image is kept");
    fail(
        "ch08-conditioning",
        folder,
        &inpaint("nothing.png"),
        1,
        &["nothing.png", "black or transparent everywhere"],
    );
}
