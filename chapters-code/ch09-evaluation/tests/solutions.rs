#[path = "../exercises/solutions.rs"]
mod answers;
#[path = "../exercises/checks.rs"]
mod checks;
