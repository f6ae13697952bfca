//! Checks on the whole book: golden values of diffusers, and the programs as a reader runs them.
