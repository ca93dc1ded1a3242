//! The docs say what the code does.
