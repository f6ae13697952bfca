//! No two purposes share random numbers.

use std::collections::HashMap;

use ch01_tensors::{Purpose, FIRST_WEIGHTS};
use rand::RngCore;

/// Where each run of four numbers was first drawn; it is an error if one occurs twice.
type Seen = HashMap<[u32; 4], (Purpose, u64, u64)>;

/// Takes a thousand numbers from a source, and adds the run that begins at each of them, so that a
/// shifted copy is found, too.
fn add(seen: &mut Seen, purpose: Purpose, seed: u64, index: u64) {
    let mut rng = purpose.rng(seed, index);
    let numbers: Vec<u32> = (0..1000).map(|_| rng.next_u32()).collect();
    for row in numbers.windows(4) {
        let place = (purpose, seed, index);
        if let Some(other) = seen.insert(row.try_into().unwrap(), place) {
            assert_eq!(
                other, place,
                "{place:?} and {other:?} share the numbers {row:?}"
            );
        }
    }
}

#[test]
fn no_two_purposes_seeds_or_indices_share_numbers() {
    let mut seen = Seen::new();
    for purpose in Purpose::ALL {
        for seed in [0, 1, 2, u64::MAX] {
            for index in [0, 1, 2, 17, 999, FIRST_WEIGHTS - 1, FIRST_WEIGHTS] {
                add(&mut seen, purpose, seed, index);
            }
        }
    }
    assert_eq!(seen.len(), Purpose::ALL.len() * 4 * 7 * 997);
}

#[test]
fn the_same_purpose_seed_and_index_give_the_same_numbers() {
    let first = |purpose: Purpose| purpose.rng(3, 5).next_u64();
    for purpose in Purpose::ALL {
        assert_eq!(first(purpose), first(purpose), "{purpose:?}");
    }
}
