//! A world with a gateway process in it, and a mock provider with a session for each account.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;

use longhaul_core::ids::Fence;
use longhaul_gateway::Client;
use longhaul_gateway::api::{
    AccountSpec, AccountsRequest, Key, Policy, Provider, ReportBody, SessionSpec, StatusView, Token,
};
use longhaul_testkit::home::FAKE_KEY;
use longhaul_testkit::provider::{MockProvider, Step};
use longhaul_testkit::world::{Running, World, wait_until};

/// The token of the session: what agents are given as their key.
pub(crate) const TOKEN: &str = FAKE_KEY;
/// The session.
pub(crate) const SESSION: &str = "task-1";

pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) provider: MockProvider,
    running: RefCell<Option<Running>>,
    of: Provider,
}

impl Stage {
    /// With a gateway that has the accounts `k1` and `k2`, and a session.
    pub(crate) fn new(of: Provider) -> Self {
        let stage = Self {
            world: World::new(env!("CARGO_BIN_EXE_longhaul")).unwrap(),
            provider: MockProvider::start().unwrap(),
            running: RefCell::new(None),
            of,
        };
        stage.start();
        stage.put_accounts();
        let session = SessionSpec {
            token_hash: Token::new(TOKEN.to_owned()).hash(),
            task: None,
            fence: Fence(1),
            provider: of,
            accounts: Default::default(),
            strategy: Default::default(),
            budget: Default::default(),
            waits: false,
            holds: false,
        };
        stage.client().put_session(SESSION, &session).unwrap();
        stage
    }

    /// Starts the gateway and waits for its first answer.
    pub(crate) fn start(&self) {
        let command = self.world.longhaul_in(&self.world.home(), ["__gateway"]);
        *self.running.borrow_mut() = Some(self.world.spawn(command));
        let up = || {
            self.socket()
                .is_some_and(|s| Client::new(s).status().is_ok())
        };
        assert!(wait_until(Duration::from_secs(30), up), "no gateway");
    }

    /// `kill -9`.
    pub(crate) fn kill(&self) {
        let running = self.running.borrow_mut().take().unwrap();
        running.kill();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.borrow().as_ref().unwrap().pid()
    }

    /// What it said so far.
    pub(crate) fn log(&self) -> String {
        self.running.borrow().as_ref().unwrap().stderr()
    }

    pub(crate) fn put_accounts(&self) {
        let accounts = ["k1", "k2"].map(|id| AccountSpec {
            id: id.to_owned(),
            provider: self.of,
            key: Key::new(key(id)),
            base_url: Some(self.provider.url(id)),
            priority: 0,
            max_concurrent: None,
            check_model: None,
            generation: 0,
        });
        let request = AccountsRequest {
            giver: String::new(),
            accounts: accounts.into(),
            policy: Policy::default(),
        };
        self.client().put_accounts(&request).unwrap();
    }

    /// The socket, wherever the world's variables put it.
    fn socket(&self) -> Option<PathBuf> {
        let folders = std::fs::read_dir(self.world.path("run/longhaul")).ok()?;
        let mut sockets = folders.map(|folder| folder.unwrap().path().join("gateway.sock"));
        sockets.find(|socket| socket.exists())
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.socket().unwrap())
    }

    pub(crate) fn status(&self) -> StatusView {
        self.client().status().unwrap()
    }

    pub(crate) fn turns(&self, account: &str) -> usize {
        self.provider.turns(account).len()
    }

    /// Accounts that were charged, in order.
    pub(crate) fn charged(&self) -> Vec<String> {
        let reports = self.client().reports(0).unwrap().reports.into_iter();
        reports
            .filter_map(|r| match r.body {
                ReportBody::Usage { account, usage, .. } if usage.tokens() > 0 => Some(account),
                _ => None,
            })
            .collect()
    }
}

/// The real key of an account.
pub(crate) fn key(id: &str) -> String {
    format!("sk-ant-a-real-key-of-{id}")
}

/// A refusal of a limit that lasts an hour, with the headers of the provider.
pub(crate) fn limited(of: Provider) -> Step {
    let step = Step::error(429).header("retry-after", "3600");
    match of {
        Provider::Anthropic => step
            .header("anthropic-ratelimit-requests-limit", "50")
            .header("anthropic-ratelimit-requests-remaining", "0")
            .header("anthropic-ratelimit-requests-reset", "2099-01-01T00:00:00Z"),
        Provider::Openai | Provider::Gemini => step
            .header("x-ratelimit-limit-requests", "50")
            .header("x-ratelimit-remaining-requests", "0")
            .header("x-ratelimit-reset-requests", "1h0m0s"),
    }
}
