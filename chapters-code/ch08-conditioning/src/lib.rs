//! Chapter 8: conditioning. Saying what to draw: a class, or a sentence.
//!
//! Equation and algorithm numbers are those of the paper on classifier-free guidance
//! (Ho & Salimans 2022), except where another is named.

pub mod captions;
mod condition;
mod edit;
#[cfg(feature = "program")]
pub mod flags;
mod guidance;
mod label;
mod looks;
pub mod model;
mod network;
mod text;
mod train;
mod words;

pub use condition::Condition;
pub use edit::{from_image, Inpaint};
pub use guidance::Guidance;
pub use label::{one_hot, LabelEmbedding};
pub use looks::{share_map, Look};
pub use network::{ConditionalUNet, Conditioner, ConditioningConfig, TextConditioner};
pub use text::{places, CrossAttention, TextConfig, TextEncoder};
pub use train::{condition_of, train_step};
pub use words::{words, PromptError, Tokenizer};

#[cfg(doctest)]
#[doc = include_str!("../../../book/ch08.md")]
struct Page;
