//! One machine's state in a SQLite file.

mod commit;
mod errors;
mod idle;
mod lock;
mod migrate;
mod open;
mod place;
mod probe;
mod reader;
mod rows;
mod store;
mod totals;

pub use reader::SqliteReader;
pub use store::SqliteStore;
