//! From valid files to damaged ones.

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use crate::targets::Target;

/// Bytes of the longest input.
const LONGEST: usize = 32 << 10;

/// Whole numbers near the limits of signed and unsigned integers.
const EDGES: [u64; 14] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 32,
    1 << 63,
    u64::MAX,
];

/// The same numbers and others, as text.
const NUMBERS: [&str; 20] = [
    "0",
    "-0",
    "1",
    "-1",
    "0.5",
    "1e308",
    "-1e308",
    "1e309",
    "1e-308",
    "1e38",
    "1e-46",
    "127",
    "256",
    "65536",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "NaN",
    "inf",
];

/// Values and characters that are put into texts of every kind.
const TEXTS: [&str; 20] = [
    "null", "true", "false", "[]", "{}", "\"\"", "[", "]", "{", "}", ",", ":", "\"", "\\",
    "\\u0000", "\n", "\r\n", "é", "İ", "\u{feff}",
];

/// Makes inputs for a target: the same ones for the same seed.
pub struct Mutator<'a> {
    target: &'a Target,
    seeds: &'a [Vec<u8>],
    seed: u64,
}

impl<'a> Mutator<'a> {
    /// A mutator of these seeds.
    pub fn new(target: &'a Target, seeds: &'a [Vec<u8>], seed: u64) -> Self {
        Self { target, seeds, seed }
    }

    /// Input number `number`: one of the seeds, with one to eight changes. In half of the cases,
    /// checksums and lengths are corrected afterwards.
    pub fn input(&self, number: u64) -> Vec<u8> {
        let rng = SmallRng::seed_from_u64(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number);
        let (target, seeds) = (self.target, self.seeds);
        let mut input = Input { rng, target, seeds, is_text: false, bytes: Vec::new() };
        input.bytes = input.seed().to_vec();
        input.is_text = !input.bytes.contains(&0);
        let most = 1 << input.rng.gen_range(0..4);
        for _ in 0..input.rng.gen_range(1..=most) {
            input.change();
            input.bytes.truncate(LONGEST);
        }
        if input.rng.gen() {
            (self.target.repair)(&mut input.bytes);
        }
        input.bytes
    }
}

/// An input that is being made.
struct Input<'a> {
    rng: SmallRng,
    target: &'a Target,
    seeds: &'a [Vec<u8>],
    is_text: bool,
    bytes: Vec<u8>,
}

impl<'a> Input<'a> {
    fn seed(&mut self) -> &'a [u8] {
        self.seeds.choose(&mut self.rng).expect("a target has seeds")
    }

    fn change(&mut self) {
        if self.is_text && self.rng.gen() {
            return if self.rng.gen() { self.replace_number() } else { self.replace_value() };
        }
        match self.rng.gen_range(0..14) {
            0 => self.flip_bit(),
            1 => self.set_byte(),
            2 | 3 => self.set_edge(),
            4 => self.nudge(),
            5 => self.truncate(),
            6 => self.remove(),
            7 => self.repeat(),
            8 => self.splice(),
            9 => self.insert_word(),
            10 => self.overwrite_with_word(),
            11 | 12 => self.replace_number(),
            _ => self.replace_value(),
        }
    }

    fn place(&mut self) -> usize {
        self.rng.gen_range(0..=self.bytes.len())
    }

    /// A part of the input, usually a short one.
    fn part(&mut self) -> std::ops::Range<usize> {
        let start = self.place();
        let longest = (self.bytes.len() - start).min(1 << self.rng.gen_range(0..12));
        start..start + self.rng.gen_range(0..=longest)
    }

    fn byte(&mut self) -> Option<&mut u8> {
        let place = self.place();
        self.bytes.get_mut(place)
    }

    fn flip_bit(&mut self) {
        let bit = 1 << self.rng.gen_range(0..8);
        self.byte().into_iter().for_each(|byte| *byte ^= bit);
    }

    fn set_byte(&mut self) {
        let value = self.rng.gen();
        self.byte().into_iter().for_each(|byte| *byte = value);
    }

    fn nudge(&mut self) {
        let step = self.rng.gen_range(1..=35);
        let step = if self.rng.gen() { step } else { 0u8.wrapping_sub(step) };
        self.byte().into_iter().for_each(|byte| *byte = byte.wrapping_add(step));
    }

    /// Writes a number near a limit (see `EDGES`), in 1 to 8 bytes and in either byte order.
    fn set_edge(&mut self) {
        let edge = EDGES
            .choose(&mut self.rng)
            .expect("there are edges")
            .wrapping_add(self.rng.gen_range(0..3));
        let width = 1 << self.rng.gen_range(0..4);
        let (small_first, large_first) = (edge.to_le_bytes(), edge.to_be_bytes());
        let edge = if self.rng.gen() { &small_first[..width] } else { &large_first[8 - width..] };
        let start = self.place();
        self.bytes[start..].iter_mut().zip(edge).for_each(|(byte, edge)| *byte = *edge);
    }

    fn truncate(&mut self) {
        let length = self.place();
        self.bytes.truncate(length);
    }

    fn remove(&mut self) {
        let part = self.part();
        self.bytes.drain(part);
    }

    /// Copies a part to another place, occasionally many times.
    fn repeat(&mut self) {
        let part = self.part();
        let times = if self.rng.gen_ratio(1, 8) { 1 << self.rng.gen_range(0..10) } else { 1 };
        let length = part.len().saturating_mul(times).min(LONGEST);
        let copies: Vec<u8> = self.bytes[part].iter().copied().cycle().take(length).collect();
        let place = self.place();
        self.bytes.splice(place..place, copies);
    }

    /// Continues as another seed does.
    fn splice(&mut self) {
        let other = self.seed();
        let from = self.rng.gen_range(0..=other.len());
        self.truncate();
        self.bytes.extend(&other[from..]);
    }

    /// A word of the format, a number or other text.
    fn word(&mut self) -> Vec<u8> {
        let rng = &mut self.rng;
        let of_format = self.target.words.choose(rng).filter(|_| rng.gen_ratio(2, 3));
        let other = if rng.gen() { &NUMBERS } else { &TEXTS };
        of_format.map_or_else(
            || other.choose(rng).expect("there are words").as_bytes().to_vec(),
            |word| word.to_vec(),
        )
    }

    fn insert_word(&mut self) {
        let (word, place) = (self.word(), self.place());
        self.bytes.splice(place..place, word);
    }

    fn overwrite_with_word(&mut self) {
        let (word, start) = (self.word(), self.place());
        self.bytes[start..].iter_mut().zip(word).for_each(|(byte, new)| *byte = new);
    }

    /// Puts another number in place of one that is written in digits.
    fn replace_number(&mut self) {
        let is_number = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
        let start = self.place();
        let Some(start) =
            self.bytes[start..].iter().position(u8::is_ascii_digit).map(|next| start + next)
        else {
            return self.set_edge();
        };
        let length = self.bytes[start..].iter().position(|byte| !is_number(byte));
        let end = length.map_or(self.bytes.len(), |length| start + length);
        let number = match self.rng.gen_range(0..3) {
            0 => self.rng.gen_range(0..40).to_string(),
            _ => NUMBERS.choose(&mut self.rng).expect("there are numbers").to_string(),
        };
        self.bytes.splice(start..end, number.into_bytes());
    }

    /// Puts a word in place of what follows a colon or comma.
    fn replace_value(&mut self) {
        let from = self.place();
        let next = |start: usize, stops: &[u8]| {
            self.bytes[start..]
                .iter()
                .position(|byte| stops.contains(byte))
                .map(|next| start + next)
        };
        let Some(start) = next(from, b":,").map(|colon| colon + 1) else {
            return self.insert_word();
        };
        let end = next(start, b",}]\n").unwrap_or(self.bytes.len());
        let word = self.word();
        self.bytes.splice(start..end, word);
    }
}
