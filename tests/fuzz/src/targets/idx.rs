//! IDX files, plain and gzipped, and the batches of CIFAR-10.

use std::fs;
use std::io::Write;
use std::path::Path;

use ch01_tensors::{Cifar10, Idx, Split};
use flate2::write::GzEncoder;
use flate2::Compression;

use super::{of_file, repair, Run, Target};

pub const TARGETS: &[Target] = &[
    Target {
        name: "idx-images",
        words: &[b"\x1f\x8b\x08", b"\x00\x00\x08\x03", b"\x00\x00\x08\x01", b"\x00\x00\x0d\x03"],
        repair: repair::gzip,
        seeds: || plain_and_zipped(images()),
        open: |folder| pair(folder, IMAGES, LABELS, labels()),
    },
    Target {
        name: "idx-labels",
        words: &[b"\x1f\x8b\x08", b"\x00\x00\x08\x01", b"\x00\x00\x08\x03", b"\x0a"],
        repair: repair::gzip,
        seeds: || plain_and_zipped(labels()),
        open: |folder| pair(folder, LABELS, IMAGES, images()),
    },
    Target {
        name: "cifar",
        words: &[b"\x09", b"\x0a"],
        repair: whole_records,
        seeds: || vec![record(0), [record(3), record(9)].concat()],
        open: |folder| {
            let owned = folder.to_path_buf();
            of_file(folder.join("test_batch.bin"), move || Cifar10::open(&owned, Split::HeldOut))
        },
    },
];

const IMAGES: &str = "t10k-images-idx3-ubyte";
const LABELS: &str = "t10k-labels-idx1-ubyte";

/// Three images of 4×5 pixels.
fn images() -> Vec<u8> {
    let header = [0x803u32, 3, 4, 5].map(u32::to_be_bytes).concat();
    header.into_iter().chain(0..60).collect()
}

fn labels() -> Vec<u8> {
    let header = [0x801u32, 3].map(u32::to_be_bytes).concat();
    [header, vec![7, 0, 9]].concat()
}

/// The file itself, the file gzipped, and the file gzipped without compression.
fn plain_and_zipped(file: Vec<u8>) -> Vec<Vec<u8>> {
    let zipped = [Compression::best(), Compression::none()].map(|level| {
        let mut encoder = GzEncoder::new(Vec::new(), level);
        encoder.write_all(&file).and_then(|()| encoder.finish()).expect("memory can be written")
    });
    [vec![file], zipped.into()].concat()
}

/// Reads inputs as one file of a pair whose other file is good.
fn pair(folder: &Path, name: &str, other: &str, good: Vec<u8>) -> Run {
    fs::write(folder.join(other), good).expect("the folder for inputs can be written");
    let owned = folder.to_path_buf();
    of_file(folder.join(name), move || Idx::open("mnist", &owned, Split::HeldOut))
}

const RECORD: usize = 3073;

fn record(label: u8) -> Vec<u8> {
    let pixels = (0..RECORD - 1).map(|i| (i * 7) as u8);
    [label].into_iter().chain(pixels).collect()
}

/// Fills up the last record.
fn whole_records(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(RECORD), 0);
}
