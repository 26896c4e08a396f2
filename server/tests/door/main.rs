//! The real binary on free ports, spoken to through its doors.

mod bad_input;
mod flight;
mod health;
mod http;
mod ingest;
mod query;
mod restart;
mod startup;
mod support;
