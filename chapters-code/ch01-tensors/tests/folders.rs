//! Folders of pictures such as people really have.

use std::io::Write;
use std::path::Path;

use ch01_tensors::{
    Cats, Color, DataArgs, DataError, Dataset, DatasetName, Folder, FolderOptions, Idx,
    Split,
};
use image::{Rgb, RgbImage};

/// Saves a picture of one colour in a folder, which is created if need be.
fn picture(folder: &Path, name: &str, red: u8) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_pixel(6, 6, Rgb([red, 0, 0]))
        .save_with_format(path, image::ImageFormat::Png)
        .unwrap();
}

fn open(folder: &Path) -> Result<Folder, DataError> {
    Folder::open(folder, Split::Train, FolderOptions { size: 8, ..Default::default() })
}

fn error(folder: &Path) -> String {
    open(folder).unwrap_err().to_string()
}

/// The captions of all the pictures in a folder that holds fewer than ten.
fn captions(folder: &Folder) -> Vec<String> {
    (0..folder.len()).map(|i| folder.caption(i)).collect()
}

#[test]
fn files_are_known_by_their_content_and_the_rest_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for name in [
        "cat/1.jpg",
        "cat/none",
        "top.png",
        "cat/deep/1.png",
        "cat/deep/er/2.png",
        "cat/._1.png",
        ".x/3.png",
    ] {
        picture(folder, name, 9);
    }
    for (name, content) in [
        ("cat/Thumbs.db", "no"),
        ("cat/notes.png", "no"),
        ("BMW.bmp", "BMW"),
        (".DS_Store", ""),
    ] {
        std::fs::write(folder.join(name), content).unwrap();
    }
    std::fs::write(folder.join("cat/new.heic"), b"\0\0\0\x18ftypheic\0\0\0\0").unwrap();
    let opened = open(folder).unwrap();
    assert_eq!(
        (opened.len(), opened.classes()),
        (3, vec![String::new(), "cat".into()])
    );
    assert_eq!((0..3).map(|i| opened.label(i)).collect::<Vec<_>>(), [1, 1, 0]);
    let wanted = format!(
        "{}: skipped 3 files that are not images (first: BMW.bmp), 1 image of a kind \
        that is not read (cat/new.heic), 3 hidden ones (first: .DS_Store) and 2 images \
        below a second level of folders (first: cat/deep/1.png)",
        folder.display()
    );
    assert_eq!(opened.notes(), [wanted]);
    assert!(Cats::new(Split::Train).notes().is_empty());
}

#[cfg(unix)]
#[test]
fn nothing_hangs_or_is_found_twice() {
    use std::os::unix::fs::symlink;

    let folder = tempfile::tempdir().unwrap();
    let (elsewhere, folder) =
        (folder.path().join("elsewhere"), folder.path().join("pictures"));
    for name in ["cat/1.png", "dog/2.png"] {
        picture(&folder, name, 9);
    }
    picture(&elsewhere, "3.png", 9);
    symlink(&folder, folder.join("cat/root")).unwrap();
    symlink(&folder, folder.join("again")).unwrap();
    symlink(folder.join(".."), folder.join("above")).unwrap();
    symlink(folder.join("cat"), folder.join("all cats")).unwrap();
    symlink(folder.join("loop"), folder.join("loop")).unwrap();
    symlink(folder.join("nowhere"), folder.join("dog/nowhere.png")).unwrap();
    symlink(folder.join("cat/1.png"), folder.join("a link.png")).unwrap();
    symlink(&elsewhere, folder.join("bird")).unwrap();
    symlink(elsewhere.join("3.png"), folder.join("dog/3.png")).unwrap();
    symlink("/dev/zero", folder.join("zero.png")).unwrap();
    let fifo = std::process::Command::new("mkfifo")
        .arg(folder.join("fifo.png"))
        .status()
        .unwrap();
    assert!(fifo.success());
    let _socket =
        std::os::unix::net::UnixListener::bind(folder.join("socket.png")).unwrap();

    let opened = open(&folder).unwrap();
    assert_eq!(
        (opened.len(), opened.classes()),
        (3, ["bird", "cat", "dog"].map(String::from).to_vec())
    );
    let [note] = &opened.notes()[..] else { panic!("one note: {:?}", opened.notes()) };
    for part in [
        "3 files that are not images",
        "4 links to what is there already",
        "2 links that lead nowhere",
    ] {
        assert!(note.contains(part), "{part}: {note}");
    }
    let direct =
        ch01_tensors::read_image(&folder.join("fifo.png"), [3, 8, 8], Color::WHITE);
    assert!(direct.unwrap_err().to_string().contains("not a regular file"));
}

#[test]
fn captions_are_found_by_their_header_and_however_paths_are_spelt() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for name in ["Cat/1.png", "Cat/2.PNG", "Cat/3.png", "Cat/4.png", "dog.png"] {
        picture(folder, name, 9);
    }
    let write = |text: &str| std::fs::write(folder.join("captions.csv"), text).unwrap();
    write(
        "\u{feff}Caption , id,FILE\r\n\
        \"one, a cat\",1,./Cat/1.png\r\n\
        two,2,cat\\2.png\r\nthree,3,CAT/3.PNG\r\n\
        four,4,.\\Cat\\4.png\r\nfive,5,dog.png\r\n",
    );
    let opened = open(folder).unwrap();
    assert_eq!(captions(&opened), ["one, a cat", "two", "three", "four", "five"]);
    assert!(opened.notes().is_empty(), "{:?}", opened.notes());

    write("file,caption\ncat/1.png,one\ncat/9.png,nine\nlost.png,lost\ndog.png,\n");
    let opened = open(folder).unwrap();
    assert_eq!(captions(&opened), ["one", "Cat", "Cat", "Cat", ""]);
    let notes = opened.notes().concat();
    for part in [
        "2 rows name no image",
        "line 3, cat/9.png",
        "4 images have no caption",
        "Cat/2.PNG",
    ] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
}

#[test]
fn broken_captions_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for name in ["cat/1.png", "dog.png"] {
        picture(folder, name, 9);
    }
    let cases: [(&[u8], &[&str]); 8] = [
        (
            b"name,caption\ncat/1.png,one\n",
            &["line 1", "no column \"file\"", "name,caption", "file and caption"],
        ),
        (b"file;caption\ncat/1.png;one\n", &["line 1", "no column \"file\"", "commas"]),
        (b"file,text\ncat/1.png,one\n", &["line 1", "no column \"caption\""]),
        (b"file,caption,File\ncat/1.png,one,x\n", &["line 1", "two columns \"file\""]),
        (b"", &["line 1", "no column \"file\""]),
        (
            b"file,caption\ncat/1.png,one\ndog.png,a dog, barking\n",
            &["line 3", "3 fields", "quotation marks"],
        ),
        (b"file,caption\ncat/1.png,caf\xe9\n", &["line 2", "UTF-8"]),
        (
            b"file,caption\ndog.png,one\n./dog.png,two\n",
            &["line 3", "./dog.png", "line 2"],
        ),
    ];
    for (text, words) in cases {
        std::fs::write(folder.join("captions.csv"), text).unwrap();
        let error = error(folder);
        for word in ["captions.csv"].iter().chain(words) {
            assert!(error.contains(word), "{word}: {error}");
        }
    }
}

#[cfg(target_os = "linux")] // where two names may differ in case alone
#[test]
fn a_path_that_may_mean_two_pictures_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for name in ["cat/1.png", "Cat/1.png"] {
        picture(folder, name, 9);
    }
    std::fs::write(
        folder.join("captions.csv"),
        "file,caption\ncat/1.png,one\nCAT/1.png,two\n",
    )
    .unwrap();
    let error = error(folder);
    assert!(
        error.contains("line 3: CAT/1.png may be Cat/1.png or cat/1.png"),
        "{error}"
    );
}

#[test]
fn classes_are_those_of_all_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for i in 0..9 {
        picture(folder, &format!("cat/{i}.png"), i);
    }
    picture(folder, "dog/9.png", 9); // the tenth, so the only one that is held out
    picture(folder, "eel/10.png", 10);
    let options = FolderOptions { size: 8, ..Default::default() };
    let [train, heldout] = [Split::Train, Split::HeldOut]
        .map(|split| Folder::open(folder, split, options).unwrap());
    for opened in [&train, &heldout] {
        assert_eq!(opened.classes(), ["cat", "dog", "eel"]);
    }
    assert_eq!((train.len(), heldout.len()), (10, 1));
    assert_eq!((train.label(0), train.label(9), heldout.label(0)), (0, 2, 1));
    let cats = Cats::new(Split::Train);
    assert_eq!(cats.classes(), ["orange", "blue", "green", "grey", "white", "black"]);
    assert!((0..50).all(|i| cats.caption(i).contains(&cats.classes()[cats.label(i)])));
}

#[test]
fn channels_and_background_can_be_chosen() {
    let folder = tempfile::tempdir().unwrap();
    image::RgbaImage::from_pixel(6, 6, image::Rgba([1, 2, 3, 0]))
        .save(folder.path().join("a.png"))
        .unwrap();
    let mut args = DataArgs {
        data_dir: Some(folder.path().into()),
        ..DataArgs::new(DatasetName::Folder)
    };
    assert_eq!(args.open(Split::Train).unwrap().shape(), [3, 32, 32]);
    args = DataArgs {
        image_size: Some(8),
        image_channels: Some(1),
        background: Some(Color([51; 3])),
        ..args
    };
    let opened = args.open(Split::Train).unwrap();
    assert_eq!(
        (opened.shape(), opened.image(0)),
        ([1, 8, 8], vec![ch01_tensors::from_byte(51); 64])
    );
}

#[test]
fn flags_that_do_nothing_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let none = DataArgs {
        data_dir: Some(folder.path().into()),
        ..DataArgs::new(DatasetName::Mnist)
    };
    let cases = [
        ("--data-dir", DataArgs { dataset: DatasetName::Cats, ..none.clone() }),
        ("--image-size", DataArgs { image_size: Some(32), ..none.clone() }),
        (
            "--image-size",
            DataArgs { image_size: Some(32), ..DataArgs::new(DatasetName::Cats) },
        ),
        (
            "--image-channels",
            DataArgs {
                image_channels: Some(3),
                dataset: DatasetName::Cifar10,
                ..none.clone()
            },
        ),
        (
            "--background",
            DataArgs {
                background: Some(Color::WHITE),
                dataset: DatasetName::FashionMnist,
                ..none
            },
        ),
    ];
    for (flag, args) in cases {
        let error = args
            .open(Split::Train)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        assert!(
            error.contains(flag) && error.contains(args.dataset.word()),
            "{flag}: {error}"
        );
    }
}

/// Writes a pair of IDX files.
fn idx(folder: &Path, sizes: [u32; 3], pixels: &[u8], labels: &[u8], zip: bool) {
    let write = |name: &str, magic: u32, sizes: &[u32], data: &[u8]| {
        let mut bytes = magic.to_be_bytes().to_vec();
        sizes.iter().for_each(|size| bytes.extend(size.to_be_bytes()));
        bytes.extend(data);
        if zip {
            let mut zipped =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            zipped.write_all(&bytes).unwrap();
            bytes = zipped.finish().unwrap();
        }
        std::fs::write(folder.join(name), bytes).unwrap();
    };
    write("train-images-idx3-ubyte", 0x803, &sizes, pixels);
    write("train-labels-idx1-ubyte", 0x801, &[labels.len() as u32], labels);
}

#[test]
fn idx_files_are_read_no_further_than_they_promise() {
    let folder = tempfile::tempdir().unwrap();
    let error =
        || Idx::open("mnist", folder.path(), Split::Train).unwrap_err().to_string();
    // Megabytes after a header for one pixel; the end of the file is missing, which
    // would be noticed if the reader got that far.
    idx(folder.path(), [1, 1, 1], &vec![0; 8 << 20], &[3], true);
    let images = folder.path().join("train-images-idx3-ubyte");
    let zipped = std::fs::read(&images).unwrap();
    std::fs::write(&images, &zipped[..zipped.len() / 2]).unwrap();
    let found = error();
    assert!(
        found.contains("train-images-idx3-ubyte")
            && found.contains("but more bytes follow"),
        "{found}"
    );
    idx(folder.path(), [1, u32::MAX, u32::MAX], &[0; 10], &[3], false);
    assert!(error().contains("at most 1024 MiB"), "{}", error());
    idx(folder.path(), [2, 1, 1], &[0; 2], &[3, 61], false);
    let found = error();
    assert!(
        found.contains("61")
            && found.contains("ten classes")
            && !found.contains("damaged"),
        "{found}"
    );
    idx(folder.path(), [2, 1, 1], &[0; 2], &[3, 9], true);
    let digits = Idx::open("mnist", folder.path(), Split::Train).unwrap();
    assert_eq!(
        (&digits.classes()[3][..], digits.classes().len(), digits.label(1)),
        ("three", 10, 9)
    );
}
