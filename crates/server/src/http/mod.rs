//! How requests come in and answers go out: the socket, who asks, bodies, problems, readers. No
//! route knows more of HTTP than this gives it.

pub(crate) mod app;
pub(crate) mod authority;
pub(crate) mod body;
pub(crate) mod foresight;
pub(crate) mod guard;
pub(crate) mod logs;
pub(crate) mod pool;
pub(crate) mod problem;
pub(crate) mod serve;
pub(crate) mod socket;
