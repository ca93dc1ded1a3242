//! The morning page: what is done, what works, what needs you. As text and as one HTML file.

pub(crate) mod html;
mod model;
mod queue;
#[cfg(test)]
mod sample;
pub(crate) mod text;

pub(crate) use model::Page;
