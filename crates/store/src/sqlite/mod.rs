//! One machine's state in a SQLite file.

mod commit;
mod errors;
mod filter;
mod hot;
mod idle;
mod insert;
mod known;
mod lock;
mod migrate;
mod open;
mod place;
mod probe;
mod query;
mod queue;
mod reader;
mod rows;
mod store;
mod totals;

pub use reader::SqliteReader;
pub use store::SqliteStore;
