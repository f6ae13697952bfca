//! What a program prints. The reader may have gone.

use std::fmt::{Arguments, Display};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::OnceLock;

/// Prints a line as the standard macro of this name does, but without a panic when nobody is
/// reading: see [`print_line`].
#[macro_export]
macro_rules! println {
    ($($argument:tt)*) => { $crate::print::print_line(::std::format_args!($($argument)*)) };
}

/// The first problem that came up while printing.
static PROBLEM: OnceLock<io::Error> = OnceLock::new();
/// Whether an output goes to standard output.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// From now on, lines go to standard error, because standard output carries a picture or a table.
pub(crate) fn take_stdout() {
    TAKEN.store(true, Ordering::SeqCst);
}

/// Prints a line. A reader that stops early, as `head -1` does, is not a problem. Any other
/// problem is kept for the end of the program, because the work matters more than what is said
/// about it.
pub fn print_line(line: Arguments) {
    if TAKEN.load(Ordering::SeqCst) {
        return note(line);
    }
    let mut stdout = io::stdout().lock();
    keep(writeln!(stdout, "{line}").and_then(|()| stdout.flush()));
}

fn keep(result: io::Result<()>) {
    if let Err(error) = result {
        PROBLEM.get_or_init(|| error);
    }
}

/// Prints a line on standard error. If that fails, there is nowhere left to say so.
pub fn note(line: impl Display) {
    writeln!(io::stderr(), "{line}").ok();
}

/// Prints what clap has to say: help, or what is wrong with the flags.
pub(crate) fn usage(answer: &clap::Error) {
    if answer.use_stderr() {
        answer.print().unwrap_or_default();
    } else {
        keep(answer.print());
    }
}

/// # Errors
/// If standard output could not take everything, unless that was because its reader had left.
pub(crate) fn finish() -> anyhow::Result<()> {
    match PROBLEM.get() {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => {
            anyhow::bail!("cannot write to standard output: {error}")
        }
        _ => Ok(()),
    }
}

/// Joins lines, and escapes what would move the cursor.
pub(crate) fn one_line(text: &str) -> String {
    let joined =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    let escape =
        |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    joined.chars().map(escape).collect()
}

/// A path, quoted as a shell needs it.
pub fn quoted(path: &Path) -> String {
    let path = path.to_string_lossy();
    // Only a zero byte cannot be quoted, and no path holds one.
    shlex::try_quote(&path).map_or_else(|_| path.to_string(), |quoted| quoted.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_on_one_line() {
        assert_eq!(
            one_line("a\u{1b}[2J.json: expected a number\n  --> line 3\n\n"),
            "a\\u{1b}[2J.json: expected a number --> line 3"
        );
    }

    #[test]
    #[cfg(unix)]
    fn paths_are_quoted_for_the_shell() {
        assert_eq!(quoted(Path::new("runs/cats")), "runs/cats");
        for path in ["my cats", "it's", "$HOME; rm", "a\"b", "*"] {
            let command = format!("printf %s {}", quoted(Path::new(path)));
            let output = std::process::Command::new("sh").args(["-c", &command]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), path);
        }
    }
}
