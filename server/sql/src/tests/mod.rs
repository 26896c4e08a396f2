//! The crate's behaviour as its users see it, over a real engine.

mod errors;
mod fixture;
mod model;
mod orders;
mod parameters;
mod planning;
mod resources;
mod retrieval;
mod tables;
