//! Standard output: a command's result and nothing else.

use std::io::{self, ErrorKind, Write};

/// Writes a text to standard output. A reader that has hung up has read enough: that is no error.
///
/// # Errors
/// Standard output cannot be written for another reason, such as a full disk.
pub fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// A number of 32 bits as the shortest decimal that means it: 0.044 and not 0.04399999976.
#[must_use]
pub fn decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn decimal_is_what_a_person_wrote() {
        for (value, want) in [(0.044_f32, "0.044"), (1.0, "1.0"), (0.0, "0.0"), (1.0 / 3.0, "0.33333334")] {
            assert_eq!(format!("{:?}", decimal(value)), want);
        }
    }
}
