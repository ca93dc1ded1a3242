//! What the daemon and the verbs say to the gateway and hear from it, over its control socket: plain
//! data with a version. No logic but the making and hashing of tokens.

pub use longhaul_core::account::{Provider, Strategy};

mod account;
mod report;
mod session;
mod status;

pub use account::{AccountSpec, AccountsRequest, Key, Policy, Price};
pub use report::{AccountCondition, Report, ReportBody, ReportsPage, WindowView};
pub use session::{AccountChoice, Budget, SessionSpec, Token, TokenHash};
pub use status::{
    AccountView, CheckOutcome, CheckView, Problem, SessionView, SpoolView, StatusView,
};

/// The version of the control protocol, in the path of every route: `/v1/…`.
pub const CONTROL_VERSION: u32 = 1;
