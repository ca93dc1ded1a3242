//! Refs that somebody moved: found, put back by compare-and-swap, a person's left alone (L4, L20).

use std::fs;

use longhaul_vcs::{Oid, PutBack, RefChange, RefList};

use crate::support::{World, seal_request, write};

const NAME: &str = "refs/heads/longhaul/victim";

/// The one change of the victim's branch since `before`.
#[track_caller]
fn change(world: &World, before: &RefList) -> RefChange {
    let after = world.repo().list_refs().unwrap();
    let stored = RefList::from_text(&before.to_text());
    assert_eq!(stored, *before);
    let mut found = stored.changes(&after);
    found.retain(|c| c.name == NAME);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn l4_a_ref_is_put_back_however_it_was_moved() {
    let world = World::new();
    let repo = world.repo();
    let tree = world.worktree(&repo, "victim");
    write(&tree.path, "work", "done");
    let tip = world.commit(&tree.path, "Work");
    let main = repo.resolve("main").unwrap();
    let before = repo.list_refs().unwrap();
    assert!(before.changes(&repo.list_refs().unwrap()).is_empty());
    let path = world.repo_path();
    let file = path.join(".git").join(NAME);
    let attacks: [&dyn Fn(); 5] = [
        &|| drop(world.git(&path, &["update-ref", NAME, main.as_str()])),
        &|| drop(world.git(&path, &["update-ref", "-d", NAME])),
        &|| fs::write(&file, "rubbish").unwrap(),
        &|| drop(world.git(&path, &["symbolic-ref", NAME, "refs/heads/main"])),
        &|| {
            world.git(&path, &["pack-refs", "--all"]);
            let packed = path.join(".git/packed-refs");
            let text = fs::read_to_string(&packed).unwrap();
            let forged = text.replace(&format!("{tip} {NAME}"), &format!("{main} {NAME}"));
            assert_ne!(text, forged);
            fs::write(&packed, forged).unwrap();
        },
    ];
    for (n, attack) in attacks.iter().enumerate() {
        attack();
        let change = change(&world, &before);
        assert_eq!(change.stood_at().as_ref(), Some(&tip), "{n}");
        let kept = format!("refs/longhaul/displaced/victim/{n}");
        let done = world
            .repo()
            .put_ref_back(&change, Some(&tip), &kept)
            .unwrap();
        assert!(matches!(done, PutBack::Done { .. }), "{n}: {done:?}");
        // Twice is once.
        let again = world
            .repo()
            .put_ref_back(&change, Some(&tip), &kept)
            .unwrap();
        assert!(matches!(again, PutBack::Done { .. }), "{n}: {again:?}");
        assert_eq!(world.git(&path, &["rev-parse", NAME]), tip.as_str(), "{n}");
        assert_eq!(
            world.git(&path, &["rev-parse", "main"]),
            main.as_str(),
            "{n}"
        );
    }
    // Moved again meanwhile: not touched.
    world.git(&path, &["update-ref", NAME, main.as_str()]);
    let stale = change(&world, &before);
    let other = world.git(&path, &["rev-parse", "main~1"]);
    world.git(&path, &["update-ref", NAME, &other]);
    let kept = "refs/longhaul/displaced/victim/x";
    let raced = world.repo().put_ref_back(&stale, Some(&tip), kept).unwrap();
    assert_eq!(raced, PutBack::Moved);
    world.fsck();
}

#[test]
fn l4_a_persons_own_move_is_known() {
    let world = World::new();
    let repo = world.repo();
    let tree = world.worktree(&repo, "victim");
    let tip = world.commit(&tree.path, "Work");
    let path = world.repo_path();
    world.git(&path, &["worktree", "unlock", tree.path.to_str().unwrap()]);
    world.git(
        &path,
        &["worktree", "remove", "--force", tree.path.to_str().unwrap()],
    );
    let before = repo.list_refs().unwrap();
    let by_person = || {
        let change = change(&world, &before);
        world.repo().is_by_a_person(&change, &tree.path).unwrap()
    };
    world.git(&path, &["update-ref", NAME, "main"]);
    assert!(!by_person(), "that HEAD was at `main` says nothing");
    let forged = world.git(
        &path,
        &[
            "commit-tree",
            "main^{tree}",
            "-p",
            tip.as_str(),
            "-m",
            "forged",
        ],
    );
    world.git(&path, &["update-ref", NAME, &forged]);
    assert!(!by_person());
    world.git(&path, &["checkout", "-q", "longhaul/victim"]);
    assert!(by_person(), "it is checked out");
    world.git(&path, &["commit", "-q", "--allow-empty", "-m", "mine"]);
    world.git(&path, &["checkout", "-q", "main"]);
    assert!(by_person(), "it was made in the checkout");
    world.git(&path, &["branch", "-q", "-D", "longhaul/victim"]);
    assert!(!by_person(), "its commits are in no other branch");
    world.git(&path, &["merge", "-q", "--no-edit", tip.as_str()]);
    assert!(by_person(), "merged and deleted");
}

#[test]
fn l4_a_live_branch_that_others_moved_comes_back_to_its_sessions_commit() {
    let world = World::new();
    let repo = world.repo();
    let tree = world.worktree(&repo, "victim");
    write(&tree.path, "work", "done");
    let tip = world.commit(&tree.path, "Work");
    assert_eq!(repo.moved_from_outside(&tree).unwrap(), None);
    let path = world.repo_path();
    // Forwards: a tool that keeps no log may have done that.
    let onwards = world.git(
        &path,
        &["commit-tree", "main^{tree}", "-p", tip.as_str(), "-m", "on"],
    );
    world.git(&path, &["update-ref", NAME, &onwards]);
    assert_eq!(repo.moved_from_outside(&tree).unwrap(), None);
    for lost in [Some("main"), None] {
        match lost {
            Some(to) => world.git(&path, &["update-ref", NAME, to]),
            None => world.git(&path, &["update-ref", "-d", NAME]),
        };
        let change = repo.moved_from_outside(&tree).unwrap().unwrap();
        assert_eq!(change.stood_at().as_ref(), Some(&tip));
        let done = repo.put_ref_back(&change, Some(&tip), "refs/longhaul/displaced/v/1");
        assert!(matches!(done.unwrap(), PutBack::Done { .. }));
        assert_eq!(repo.moved_from_outside(&tree).unwrap(), None);
    }
    // What its own session does to its branch is its own doing.
    world.git(&tree.path, &["reset", "-q", "--hard", "main"]);
    assert_eq!(repo.moved_from_outside(&tree).unwrap(), None);
}

#[test]
fn l20_replaced_and_grafted_objects_are_not_believed() {
    let world = World::new();
    let repo = world.repo();
    let tree = world.worktree(&repo, "victim");
    let base = repo.resolve("main").unwrap();
    write(&tree.path, "work", "done");
    let tip = world.commit(&tree.path, "Work");
    let path = world.repo_path();
    let evil = world.git(&path, &["commit-tree", "main~1^{tree}", "-m", "evil"]);
    world.git(&path, &["replace", tip.as_str(), &evil]);
    write(&path, ".git/info/grafts", format!("{tip}\n"));
    // The user's git is fooled; ours reads the commit itself.
    assert_eq!(
        world.git(&path, &["log", "-1", "--format=%s", tip.as_str()]),
        "evil"
    );
    let repo = world.repo();
    assert!(repo.is_ancestor(&base, &tip).unwrap());
    let sealed = repo.seal(&tree, &seal_request(&base, &base, 1)).unwrap();
    assert_eq!(sealed.end_commit, Some(tip));
    assert!(!sealed.rewritten);
    assert_eq!(sealed.changed.paths.len(), 1);
    let _: Option<Oid> = sealed.snapshot.head;
}
