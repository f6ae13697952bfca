//! A bar on a terminal, plain lines elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::print::note;

/// Shows how far a long job has got.
pub struct Progress {
    bar: ProgressBar,
    plain: bool,
    started: Instant,
    last_line: Instant,
    first: u64,
    total: u64,
}

/// Time between two plain lines.
const INTERVAL: Duration = Duration::from_secs(10);

impl Progress {
    /// A job of `total` steps, of which `first` are already done.
    pub fn new(total: u64, first: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{pos}/{len} {wide_bar} {msg} · {eta} left");
        bar.set_style(style.expect("the template is valid"));
        bar.set_position(first);
        bar.reset_eta();
        let plain = bar.is_hidden();
        let now = Instant::now();
        Self { bar, plain, started: now, last_line: now, first, total }
    }

    /// Shows that `done` steps are done; `message` says how it is going.
    pub fn update(&mut self, done: u64, message: impl FnOnce() -> String) {
        if !self.plain {
            self.bar.set_position(done);
            self.bar.set_message(message());
        } else if self.last_line.elapsed() >= INTERVAL || done == self.total {
            self.last_line = Instant::now();
            let per_step = self.started.elapsed().as_secs_f64() / (done - self.first).max(1) as f64;
            let left = (self.total - done) as f64 * per_step;
            note(format_args!("{done}/{} {} · {left:.0} s left", self.total, message()));
        }
    }

    /// A line of its own.
    pub fn note(&self, line: &str) {
        if self.plain {
            note(line);
        } else {
            self.bar.println(line);
        }
    }

    /// Takes the bar off the screen.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}
