//! On whose behalf a peer of the socket asks (I17), by its process and nothing else.

use longhaul_core::ids::TaskId;
use longhaul_hosts::{Authority as HostAuthority, peer_authority};
use longhaul_server::{Authority, Peer, PeerAuthority};

/// Judges by ancestry, spawn key and cgroup.
pub(super) struct ByProcess;

impl Authority for ByProcess {
    fn of_peer(&self, peer: &Peer<'_>) -> PeerAuthority {
        Self::judge(peer.pid, peer.uid)
    }
}

impl ByProcess {
    /// On whose behalf a process of this user asks.
    pub(super) fn judge(pid: Option<i32>, uid: u32) -> PeerAuthority {
        if uid != rustix::process::geteuid().as_raw() {
            return PeerAuthority::Foreign { uid };
        }
        let Some(pid) = pid.and_then(|pid| u32::try_from(pid).ok()) else {
            return PeerAuthority::Unknown;
        };
        match peer_authority(pid) {
            HostAuthority::Person => PeerAuthority::Person,
            HostAuthority::Session { key } => PeerAuthority::Session {
                task: task_of(&key),
            },
            HostAuthority::Unknown => PeerAuthority::Unknown,
        }
    }
}

/// The task in a spawn key: its first 32 hexadecimal digits.
fn task_of(key: &str) -> Option<TaskId> {
    key.get(..32)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use longhaul_core::ids::{Fence, SpawnKey};

    use super::*;

    #[test]
    fn every_spawn_key_names_its_task() {
        let task = TaskId::new(5, [3; 10]);
        for key in [
            SpawnKey::session(task, Fence(1)),
            SpawnKey::setup(task, Fence(2)),
            SpawnKey::check(task, Fence(3), 4, 5),
            SpawnKey::teardown(task, Fence(3), 1),
        ] {
            assert_eq!(task_of(key.as_str()), Some(task));
        }
        assert_eq!(task_of("short"), None);
    }
}
