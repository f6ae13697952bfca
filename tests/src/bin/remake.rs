//! Remakes every figure and every transcript of the book, or only those whose command contains the
//! given word.

use book_tests::book::{figure, folder, makings};

fn main() {
    let word = std::env::args().nth(1).unwrap_or_default();
    for making in makings().into_iter().filter(|making| making.command.contains(&word)) {
        println!("{}", making.command);
        let empty = tempfile::tempdir().expect("a folder to work in");
        let transcript = making.run(empty.path());
        if let Some(name) = &making.transcript {
            let path = folder().join("transcripts").join(name);
            std::fs::create_dir_all(path.parent().expect("it is in a folder"))
                .expect("a folder for transcripts");
            std::fs::write(&path, transcript).expect("the transcript can be written");
            println!("  wrote {}", path.display());
        }
        for name in &making.figures {
            let path = folder().join("figures").join(name);
            std::fs::write(&path, figure(&empty.path().join(name)))
                .expect("the figure can be written");
            println!("  wrote {}", path.display());
        }
    }
}
