//! Tests over whole samples.
