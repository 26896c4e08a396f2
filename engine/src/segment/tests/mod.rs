mod damage;
mod decimal;
mod foreign;
mod reading;
mod round_trip;
mod support;
