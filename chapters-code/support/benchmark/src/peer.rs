//! One side of the comparison, in a process of its own, so that its memory can be measured.
//!
//! It says hello in one line of JSON when it is ready, and from then on answers every line it
//! receives with one line.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// The first line that a side prints.
#[derive(Serialize, Deserialize)]
pub struct Hello {
    /// A number computed from the inputs, the same on both sides.
    pub check: f64,
    pub versions: String,
}

/// The answer to a turn.
#[derive(Serialize, Deserialize)]
pub struct Answer {
    /// How long one step took.
    pub seconds: f64,
    /// The most memory that the process has ever held, in bytes, if the system reports it.
    pub peak_memory: Option<u64>,
}

/// The time and memory that a side took, over all its turns.
#[derive(Clone, Copy, Debug)]
pub struct Result {
    /// The median of its turns.
    pub seconds: f64,
    pub peak_memory: Option<u64>,
}

pub struct Peer {
    name: String,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    turns: Vec<Answer>,
    pub check: f64,
    pub versions: String,
}

impl Peer {
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.with_context(|| format!("{name} does not start"))?;
        let input = child.stdin.take().expect("was asked for");
        let output = BufReader::new(child.stdout.take().expect("was asked for"));
        let (check, versions, turns) = (0.0, String::new(), Vec::new());
        let mut peer = Self { name, child, input, output, turns, check, versions };
        let hello: Hello = peer.read()?;
        Ok(Self { check: hello.check, versions: hello.versions, ..peer })
    }

    fn read<T: for<'a> Deserialize<'a>>(&mut self) -> anyhow::Result<T> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| {
            format!("{} stopped (its own message is above); it said {line:?}", self.name)
        })
    }

    /// Gives the side one turn.
    pub fn turn(&mut self) -> anyhow::Result<()> {
        writeln!(self.input, "go")?;
        self.input.flush()?;
        let answer = self.read()?;
        self.turns.push(answer);
        Ok(())
    }

    /// Ends the process.
    pub fn finish(self) -> anyhow::Result<Result> {
        let Self { mut child, input, mut turns, .. } = self;
        drop(input); // the end of its input is the end of its work
        child.wait()?;
        turns.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let peak_memory = turns.iter().filter_map(|t| t.peak_memory).max();
        Ok(Result { seconds: turns[turns.len() / 2].seconds, peak_memory })
    }
}
