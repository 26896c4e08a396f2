//! What users write in words: states, statuses, types, times and patterns.

use tagus_engine::limits::{TIME_MAX, TIME_MIN};
use tagus_engine::status::Status;
use tagus_engine::tag::{Interpolation, TagSpec, TagType};

use crate::one_line;
use crate::server::columns::{quality_of_text, status_of_text};
use crate::server::time::{TimeReader, TimeUnit};

/// One text, taken for each of them.
pub fn text(data: &[u8]) {
    for unit in [None, Some(TimeUnit::S), Some(TimeUnit::Ns)] {
        // A reader remembers the date that it read last.
        let mut reader = TimeReader::new(unit);
        let read = reader.text(data);
        assert_eq!(reader.text(data), read);
        match read {
            Ok(time) => assert!((TIME_MIN..=TIME_MAX).contains(&time)),
            Err(error) => one_line(&error),
        }
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    states(text);
    for read in [status_of_text(text), quality_of_text(text)] {
        match read {
            Ok(status) => assert_eq!(Status::parse(&status.to_string()), Some(status)),
            Err(error) => one_line(&error),
        }
    }
    if let Some(tag_type) = TagType::parse(text) {
        assert_eq!(TagType::parse(tag_type.word()), Some(tag_type));
    }
    let _ = Interpolation::parse(text);
}

/// States that were read are read again from their text, if a tag may have them.
fn states(text: &str) {
    let states = match TagSpec::parse_states(text) {
        Ok(states) => states,
        Err(error) => return one_line(&error),
    };
    let mut spec = TagSpec::new("V1", TagType::Digital);
    spec.states = states;
    match spec.check() {
        Ok(()) => assert_eq!(TagSpec::parse_states(&spec.states_text()).expect("states"), spec.states),
        Err(error) => one_line(&error),
    }
}
