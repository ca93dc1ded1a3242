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
//! Not pretended: the code of the executor itself, git, real processes and streams (torn or split
//! output), the HTTP server, schedules, accounts beside the harness's own window, several hosts.
