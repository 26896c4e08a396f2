#![allow(clippy::single_range_in_vec_init, reason = "a read of one range is meant")]

mod damage;
mod decimal;
mod foreign;
mod reading;
mod round_trip;
mod support;
