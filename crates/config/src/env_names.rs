//! Every environment variable that Longhaul reads or sets for others, declared once. Nothing here
//! reads one.

/// The state folder, instead of `$XDG_STATE_HOME/longhaul`.
pub const STATE_DIR: &str = "LONGHAUL_STATE_DIR";
/// The folder of the user's configuration, instead of `$XDG_CONFIG_HOME/longhaul`.
pub const CONFIG_DIR: &str = "LONGHAUL_CONFIG_DIR";
/// The folder of the sockets, instead of `$XDG_RUNTIME_DIR/longhaul/<hash>`.
pub const RUNTIME_DIR: &str = "LONGHAUL_RUNTIME_DIR";
/// What is logged, in the words of `tracing`'s filter.
pub const LOG: &str = "LONGHAUL_LOG";
/// Set for sessions, setups and checks: the task's name.
pub const TASK: &str = "LONGHAUL_TASK";
/// Set for sessions, setups and checks: the task's id.
pub const TASK_ID: &str = "LONGHAUL_TASK_ID";
/// Set for sessions, setups and checks: the folder they work in.
pub const WORKSPACE: &str = "LONGHAUL_WORKSPACE";
/// Set for sessions, setups and checks: the repository that the task belongs to.
pub const REPO: &str = "LONGHAUL_REPO";
/// Set for sessions: the key of the attempt.
pub const SESSION: &str = "LONGHAUL_SESSION";
/// Set for everything a shim starts: the key by which every process of one job is found (I8).
pub const SPAWN_KEY: &str = "LONGHAUL_SPAWN_KEY";
/// Set for sessions, setups, checks and teardowns in a worktree: the commit that the work started from.
pub const BASE: &str = "LONGHAUL_BASE";
/// Set for workspaces: the first port of the leased range (L2).
pub const PORT_BASE: &str = "LONGHAUL_PORT_BASE";

/// Variables that are not settings.
pub const PLAIN: [&str; 12] = [
    STATE_DIR,
    CONFIG_DIR,
    RUNTIME_DIR,
    LOG,
    TASK,
    TASK_ID,
    WORKSPACE,
    REPO,
    SESSION,
    SPAWN_KEY,
    BASE,
    PORT_BASE,
];

/// Variables that set a key of the configuration, with that key. Tables by name (`harness.NAME`
/// and the like) have none.
pub const SETTINGS: [(&str, &str); 55] = [
    ("LONGHAUL_CONCURRENCY", "concurrency"),
    ("LONGHAUL_CONCURRENCY_PER_REPO", "concurrency_per_repo"),
    ("LONGHAUL_MAX_WORKSPACES", "max_workspaces"),
    ("LONGHAUL_MIN_FREE", "min_free"),
    ("LONGHAUL_MIN_FREE_MEMORY", "min_free_memory"),
    ("LONGHAUL_MAX_LOG", "max_log"),
    ("LONGHAUL_SNAPSHOT_RETENTION", "snapshot_retention"),
    ("LONGHAUL_LOG_RETENTION", "log_retention"),
    ("LONGHAUL_WORKSPACE_RETENTION", "workspace_retention"),
    ("LONGHAUL_SNAPSHOT_MAX", "snapshot_max"),
    ("LONGHAUL_BRANCH_PREFIX", "branch_prefix"),
    ("LONGHAUL_COMMIT", "commit"),
    ("LONGHAUL_SIGN", "sign"),
    ("LONGHAUL_QUEUE_BATCH_MAX", "queue.batch_max"),
    ("LONGHAUL_QUEUE_MERGE_STYLE", "queue.merge_style"),
    ("LONGHAUL_QUEUE_ADVANCE_CHECKOUT", "queue.advance_checkout"),
    ("LONGHAUL_QUEUE_PUSH", "queue.push"),
    ("LONGHAUL_QUEUE_LIVE_CONFLICTS", "queue.live_conflicts"),
    ("LONGHAUL_SETUP", "setup"),
    ("LONGHAUL_TEARDOWN", "teardown"),
    ("LONGHAUL_DEFAULT_HARNESS", "default_harness"),
    ("LONGHAUL_DEFAULT_PERMISSION", "default_permission"),
    ("LONGHAUL_DEFAULT_JUDGE", "default_judge"),
    ("LONGHAUL_SANDBOXED", "sandboxed"),
    ("LONGHAUL_ON_NEEDS_HUMAN", "on_needs_human"),
    ("LONGHAUL_SANDBOX_CACHES", "sandbox.caches"),
    ("LONGHAUL_SANDBOX_WRITABLE", "sandbox.writable"),
    ("LONGHAUL_STOP_GRACE", "stop_grace"),
    ("LONGHAUL_RETRY_BACKOFF_MIN", "retry.backoff_min"),
    ("LONGHAUL_RETRY_BACKOFF_MAX", "retry.backoff_max"),
    ("LONGHAUL_LIMITS_UNKNOWN_RESET", "limits.unknown_reset"),
    ("LONGHAUL_LIMITS_WAKE_JITTER", "limits.wake_jitter"),
    ("LONGHAUL_LIMITS_THROTTLE_PAUSE", "limits.throttle_pause"),
    ("LONGHAUL_LIMITS_OVERLOAD_MIN", "limits.overload_min"),
    ("LONGHAUL_LIMITS_OVERLOAD_MAX", "limits.overload_max"),
    (
        "LONGHAUL_LIMITS_OVERLOAD_GIVE_UP",
        "limits.overload_give_up",
    ),
    ("LONGHAUL_ACCOUNTS_DISCOVER", "accounts.discover"),
    ("LONGHAUL_ACCOUNTS_GATEWAY", "accounts.gateway"),
    ("LONGHAUL_ACCOUNTS_PROBE", "accounts.probe"),
    (
        "LONGHAUL_ACCOUNTS_PROBE_INTERVAL",
        "accounts.probe_interval",
    ),
    ("LONGHAUL_ACCOUNTS_STRATEGY", "accounts.strategy"),
    ("LONGHAUL_ACCOUNTS_THRESHOLD", "accounts.threshold"),
    ("LONGHAUL_ACCOUNTS_USE", "accounts.use"),
    ("LONGHAUL_ACCOUNTS_ROTATE_HOMES", "accounts.rotate_homes"),
    ("LONGHAUL_ACCOUNTS_SHARED_DIR", "accounts.shared_dir"),
    ("LONGHAUL_ACCOUNTS_SHARED_CLAUDE", "accounts.shared.claude"),
    ("LONGHAUL_ACCOUNTS_SHARED_CODEX", "accounts.shared.codex"),
    ("LONGHAUL_POOL_PREFIX", "pool.prefix"),
    ("LONGHAUL_POOL_START_INDEX", "pool.start_index"),
    ("LONGHAUL_POOL_MIN", "pool.min"),
    ("LONGHAUL_POOL_MAX", "pool.max"),
    ("LONGHAUL_POOL_ACK_TIMEOUT", "pool.ack_timeout"),
    ("LONGHAUL_POOL_SIGNAL", "pool.signal"),
    ("LONGHAUL_POOL_RETENTION", "pool.retention"),
    ("LONGHAUL_POOL_TMUX", "pool.tmux"),
];
