//! Test support shared by the workspace.
