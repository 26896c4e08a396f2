//! The real binary on free ports, spoken to through its doors.

#![expect(clippy::unwrap_used, reason = "a call that fails is a failed test")]

mod backup;
mod bad_input;
mod damage;
mod delete;
mod flight;
mod health;
mod http;
mod ingest;
mod live;
mod query;
mod reduction;
mod restart;
mod retrieval;
mod startup;
mod support;
