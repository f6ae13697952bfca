#[path = "../exercises/answers.rs"]
mod answers;
#[path = "../exercises/checks.rs"]
mod checks;
