//! What the simulator pretends, and what it does not.
//!
//! Pretended, with faults: jobs as bundles on a disk (starting, live, exited, lost, of another boot,
//! unknowable for a while), their output, stops with a grace; the executor's threads with their list of
//! what is at work, slow, broken and repeated; workspaces with drift, conflicts and faults; set-ups,
//! checks that fail, hang or get lost; limits of every class; questions, wrong modes, denials; the
//! store's weather; daemons that die at every point of a step, or are paused while another one starts;
//! reboots, suspended machines (to us a jump of the wall clock alone), clocks put forward and back;
//! floors; people who say anything at any time, twice.
//!
//! For the merge queue: repositories in which a tree says which version of whose change is in it, changes
//! that clash or fail a check alone or together, flaky and hanging checks in the slot of a line, children
//! of git that act after their daemon died, branches added by hand on whatever there is, a user who
//! commits, amends, rewinds, merges and checks out base beside the queue, or writes past it.
//!
//! Not pretended: the code of the executor itself, git, real processes and streams (torn or split
//! output), the HTTP server, schedules, accounts beside the harness's own window, several hosts; of the
//! queue: takings-back (`queue undo`) and the files of a checkout, which `vcs` proves on real git.
