//! The exercises of the chapters: the page shows the signature of each, and each has a test of the
//! same name.

use std::path::PathBuf;

use book_tests::book::folder;

/// The folders of exercises, each with the page that sets them.
fn exercises() -> Vec<(PathBuf, String)> {
    let crates = std::fs::read_dir(folder().join("../chapters-code")).unwrap();
    let exercises = crates.filter_map(|entry| {
        let entry = entry.unwrap();
        let exercises = entry.path().join("exercises");
        let chapter = entry.file_name().into_string().unwrap().split('-').next()?.to_string();
        let page = folder().join(format!("{chapter}.md"));
        exercises.exists().then(|| (exercises, std::fs::read_to_string(page).unwrap()))
    });
    exercises.collect()
}

/// The signatures of public functions, each on one line.
fn signatures(code: &str) -> Vec<String> {
    let signature = |after: &str| {
        let text = after.split_once(" {\n").unwrap().0;
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        line.replace("( ", "(").replace(", )", ")")
    };
    code.split("pub fn ").skip(1).map(signature).collect()
}

#[test]
fn a_page_shows_every_signature_and_a_test_has_its_name() {
    let mut problems = Vec::new();
    let exercises = exercises();
    for (folder, page) in &exercises {
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        let (answers, checks) = (read("answers.rs"), read("checks.rs"));
        let signatures = signatures(&answers);
        assert!(signatures.len() >= 4, "{}: {signatures:?}", folder.display());
        for signature in signatures {
            if !page.contains(&format!("`{signature}`")) {
                problems.push(format!("the page does not show: {signature}"));
            }
            let name = signature.split_once('(').unwrap().0;
            if !checks.contains(&format!("#[test]\nfn {name}()")) {
                problems.push(format!("{}: no test '{name}'", folder.display()));
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
    assert!(exercises.len() >= 9, "{exercises:?}");
}
