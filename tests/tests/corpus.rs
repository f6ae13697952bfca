//! Files on which a parser once panicked, hung or took too much memory, and the files that the
//! fuzzing campaign (`tests/fuzz`) begins with.

use std::path::Path;
use std::time::{Duration, Instant};

#[path = "../fuzz/src/memory.rs"]
mod memory;
#[path = "../fuzz/src/targets/mod.rs"]
mod targets;

/// As in the campaign.
const MOST_MEMORY: usize = 256 << 20;

/// More than in the campaign, which measures processor time, not wall-clock time.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads an input, and says whether it was accepted.
fn read(run: &mut targets::Run, input: &[u8], what: &str) -> bool {
    let start = Instant::now();
    let (accepted, memory) = memory::peak(|| run(input));
    assert!(memory <= MOST_MEMORY, "{what} takes {} MiB", memory >> 20);
    assert!(start.elapsed() < PATIENCE, "{what} takes {:?}", start.elapsed());
    accepted
}

// One test, because memory is counted for the whole process.
#[test]
fn what_once_failed_is_read_or_rejected() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let names: Vec<&str> = targets::all().map(|target| target.name).collect();
    for path in files::below(&corpus).unwrap() {
        let target = path.iter().next().unwrap().to_str().unwrap();
        assert!(names.contains(&target), "{} belongs to no target", path.display());
    }
    for target in targets::all() {
        let folder = tempfile::tempdir().unwrap();
        let mut run = (target.open)(folder.path());
        for (i, seed) in (target.seeds)().iter().enumerate() {
            let what = format!("{}: seed {i}", target.name);
            assert!(read(&mut run, seed, &what), "{what} is rejected");
            let mut repaired = seed.clone();
            (target.repair)(&mut repaired);
            assert!(read(&mut run, &repaired, &what), "{what} is rejected after its repair");
            for word in target.words {
                let middle = seed.len() / 2;
                read(&mut run, &[&seed[..middle], word, &seed[middle..]].concat(), &what);
            }
        }
        let failed = corpus.join(target.name);
        for name in if failed.is_dir() { files::below(&failed).unwrap() } else { Vec::new() } {
            let path = failed.join(name);
            read(&mut run, &files::read(&path).unwrap(), &path.display().to_string());
        }
    }
}
