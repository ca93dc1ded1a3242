//! Real processes under real shims.

mod adopt;
mod confined;
mod crash;
mod ends;
mod hostile;
mod io;
mod trees;
mod world;
