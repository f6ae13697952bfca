//! Where outputs go on Unix: regular files, links, pipes, devices, folders that two runs want.
#![cfg(unix)]

use std::fs::{self, File};
use std::os::unix::fs::{symlink, FileTypeExt, PermissionsExt};
use std::path::Path;

use files::{check, claim, write, Place};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// An error with its source.
fn full(error: &files::FileError) -> String {
    format!("{error}: {}", error.source)
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

#[test]
fn permissions_are_kept_or_as_the_umask_says() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("a"), folder.path().join("b"));
    File::create(&theirs).unwrap();
    write(&ours, b"one").unwrap();
    assert_eq!(mode(&ours), mode(&theirs));
    for kept in [0o600, 0o640, 0o755] {
        fs::set_permissions(&ours, fs::Permissions::from_mode(kept)).unwrap();
        write(&ours, b"two").unwrap();
        assert_eq!(mode(&ours), kept);
    }
}

#[test]
fn links_are_written_through() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("store")).unwrap();
    fs::write(at("store/old.txt"), "old").unwrap();
    symlink("store/old.txt", at("relative")).unwrap();
    symlink(at("relative"), at("twice")).unwrap();
    symlink("store/deeper/new.txt", at("dangling")).unwrap();
    write(at("twice"), b"new").unwrap();
    assert_eq!(fs::read(at("store/old.txt")).unwrap(), b"new");
    assert_eq!(check(at("dangling")).unwrap(), Place::File(at("store/deeper/new.txt")));
    assert!(!at("store/deeper").exists(), "checking leaves no trace");
    write(at("dangling"), b"new").unwrap();
    assert_eq!(fs::read(at("store/deeper/new.txt")).unwrap(), b"new");
    for link in ["relative", "twice", "dangling"] {
        assert!(at(link).is_symlink());
    }
    symlink(at("circle"), at("back")).unwrap();
    symlink(at("back"), at("circle")).unwrap();
    check(at("circle")).unwrap_err();
    write(at("circle"), b"new").unwrap_err();
}

#[test]
fn pipes_and_devices_stay_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert_eq!(check(&pipe).unwrap(), Place::Stream(pipe.clone()));
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read(pipe).unwrap()
    });
    write(&pipe, &[7; 100_000]).unwrap();
    assert_eq!(reader.join().unwrap(), [7; 100_000]);
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    let null = Path::new("/dev/null");
    write(null, b"nothing").unwrap();
    assert!(fs::metadata(null).unwrap().file_type().is_char_device());
    assert_eq!(count(folder.path()), 1);
    #[cfg(target_os = "linux")]
    {
        let error = write("/dev/full", b"too much").unwrap_err();
        assert_eq!(error.to_string(), "cannot write /dev/full");
        assert_eq!(error.source.kind(), std::io::ErrorKind::StorageFull);
        // A file that is already open, by the name of its descriptor.
        let path = folder.path().join("open");
        let file = File::create(&path).unwrap();
        let name = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        write(&name, b"through").unwrap();
        assert_eq!(file.metadata().unwrap().len(), 7, "not replaced");
    }
}

#[test]
fn what_cannot_be_written_is_found_out_without_a_trace() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("file"), "x").unwrap();
    fs::create_dir(at("taken")).unwrap();
    let bad = ["taken", "file/below", "new/", "taken/.."].map(at);
    for path in bad.iter().map(|path| path.as_path()).chain([Path::new("")]) {
        let problem = full(&check(path).unwrap_err());
        assert!(!problem.contains('\n') && problem.starts_with("cannot write"), "{problem}");
        assert_eq!(
            full(&write(path, b"y").unwrap_err()),
            problem,
            "the check and the write must give the same answer"
        );
    }
    check(at("new/newer/a.png")).unwrap();
    check(at("file")).unwrap();
    assert_eq!(count(folder.path()), 2);
    assert_eq!(fs::read(at("file")).unwrap(), b"x");
}

/// Permissions bind everybody but the superuser.
#[test]
fn a_protected_file_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("protected");
    fs::write(&path, "x").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    let may = File::options().write(true).open(&path).is_ok();
    assert_eq!(check(&path).is_ok(), may);
    assert_eq!(write(&path, b"y").is_ok(), may);
    assert_eq!(mode(&path), 0o444);
}

#[test]
fn a_folder_is_claimed_once_and_removed_if_nothing_came_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("runs/cats");
    let first = claim(&run).unwrap();
    let error = full(&claim(&run).unwrap_err());
    assert!(error.contains("runs/cats") && error.contains("another run"), "{error}");
    assert!(run.exists());
    drop(first);
    assert_eq!(count(folder.path()), 0, "nothing was put into it");

    fs::create_dir_all(run.join("unet")).unwrap();
    let abandoned = run.join("unet/.writing-0123456789aB.tmp");
    fs::write(&abandoned, "half").unwrap();
    let second = claim(&run).unwrap();
    assert!(!abandoned.exists());
    write(run.join("unet/a"), b"whole").unwrap();
    drop(second);
    claim(&run).unwrap();
    assert_eq!(fs::read(run.join("unet/a")).unwrap(), b"whole");
}
