//! How things look: one printer for both streams, one palette, text made safe and fitted.

pub(crate) mod clock;
pub(crate) mod failure;
pub(crate) mod mask;
pub(crate) mod moved;
pub(crate) mod palette;
pub(crate) mod printer;
pub(crate) mod table;
pub(crate) mod task;
pub(crate) mod text;

pub(crate) use printer::{ColorWish, Printer};
